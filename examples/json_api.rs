//! A JSON interface: a path parameter, a query, and JSON bodies through serde.
//! It stores nothing; `shared_state` shows how cores share data.
//!
//! ```sh
//! cargo run --example json_api
//! curl -i 'http://127.0.0.1:8080/users/7?verbose=true'
//! curl -i http://127.0.0.1:8080/users -d '{"name": "Ada"}'
//! ```

use std::error::Error;

use pinloop::{Config, Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Deserialize)]
struct NewUser {
    name: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    if let Some(addr) = std::env::args().nth(1) {
        config.addr = addr.parse()?;
    }
    let server = pinloop::start(&config, |_core| api)?;
    println!("listening on http://{}", server.addr());
    server.join()?;
    Ok(())
}

fn api(request: &Request<'_>, response: &mut Response<'_>) {
    let segments: Vec<_> = request.path_segments().collect();
    let path: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
    match (request.method(), path.as_slice()) {
        ("GET" | "HEAD", ["users", id]) => match id.parse::<u64>() {
            Ok(id) => show(id, request, response),
            Err(_) => send(response, 404, &json!({ "error": "a user id is a number" })),
        },
        ("POST", ["users"]) => match serde_json::from_slice::<NewUser>(request.body()) {
            Ok(user) => send(response, 201, &json!({ "id": 1, "name": user.name })),
            Err(error) => send(response, 400, &json!({ "error": error.to_string() })),
        },
        _ => send(response, 404, &json!({ "error": "not found" })),
    }
}

fn show(id: u64, request: &Request<'_>, response: &mut Response<'_>) {
    let verbose = request.query_pairs().any(|(name, value)| name == "verbose" && value == "true");
    let email = verbose.then(|| format!("user{id}@example.com"));
    send(response, 200, &json!({ "id": id, "name": format!("user {id}"), "email": email }));
}

fn send(response: &mut Response<'_>, status: u16, value: &impl Serialize) {
    let body = serde_json::to_vec(value).expect("the value has string keys only");
    response.status(status).header("content-type", "application/json").body(&body);
}
