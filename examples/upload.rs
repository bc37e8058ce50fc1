//! A streamed request body: counts its bytes in constant memory, whatever its size.
//!
//! ```sh
//! cargo run --example upload
//! curl -i http://127.0.0.1:8080/upload --data-binary @Cargo.lock
//! ```

use std::error::Error;

use pinloop::{BodyPolicy, Config, Request, Response, Service};

struct Upload;

impl Service for Upload {
    /// Answers requests without a body, and those that `body_policy` does not stream.
    fn call(&mut self, request: &Request<'_>, response: &mut Response<'_>) {
        match (request.method(), &*request.path()) {
            ("POST", "/upload") => response.body(b"0\n"),
            (_, "/upload") => response.status(405).header("allow", "POST").body(b""),
            _ => response.status(404).body(b""),
        }
    }

    /// Runs once the request head is there, before any byte of the body is read.
    fn body_policy(&mut self, request: &Request<'_>, response: &mut Response<'_>) -> BodyPolicy {
        if (request.method(), &*request.path()) != ("POST", "/upload") {
            return BodyPolicy::Ignore;
        }
        response.header("content-type", "text/plain");
        let mut bytes = 0;
        BodyPolicy::Stream {
            length: None,
            receiver: Box::new(move |piece, body| match piece {
                Some(piece) => bytes += piece.data.len(),
                None => body.write(format!("{bytes}\n").as_bytes()),
            }),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    if let Some(addr) = std::env::args().nth(1) {
        config.addr = addr.parse()?;
    }
    let server = pinloop::start(&config, |_core| Upload)?;
    println!("listening on http://{}", server.addr());
    server.join()?;
    Ok(())
}
