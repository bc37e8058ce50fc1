//! The smallest server: one function answers every request.
//!
//! ```sh
//! cargo run --example hello
//! curl -i http://127.0.0.1:8080/
//! ```

use std::error::Error;

use pinloop::{Config, Request, Response};

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    if let Some(addr) = std::env::args().nth(1) {
        config.addr = addr.parse()?;
    }
    let server = pinloop::start(&config, |_core| hello)?;
    println!("listening on http://{}", server.addr());
    server.join()?;
    Ok(())
}

fn hello(request: &Request<'_>, response: &mut Response<'_>) {
    match &*request.path() {
        "/" => response.header("content-type", "text/plain").body(b"hello\n"),
        _ => response.status(404).body(b""),
    }
}
