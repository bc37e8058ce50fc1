//! A browser and curl, as people have them.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pinloop::{Config, Request, Response, Server};

use super::{has_program, skip};
use crate::support::{serve, stop};

/// Time that a browser may take to start and to load a page.
const BROWSER_PATIENCE: Duration = Duration::from_secs(90);

/// URLs as programs write them, with characters that the URL standard leaves as they are.
const URLS: [&str; 8] = ["/?a[]=1", "/?q={x}", "/?a|b", "/?x=^", "/?100%", "/a|b", "/[x]", "/?`'"];

/// Returns a page that fetches each URL and then shows the status codes.
fn page() -> String {
    let urls = URLS.map(|url| format!("\"{url}\"")).join(",");
    format!(
        "<!doctype html><body><script>\
         Promise.all([{urls}].map(url => fetch(url).then(response => response.status)))\
         .then(all => document.body.innerText = 'statuses: ' + all.join(' '));\
         </script></body>"
    )
}

/// Starts a server with the page at `/page`. It keeps the targets that it serves.
fn serve_page() -> (Server, Arc<Mutex<Vec<String>>>) {
    let targets = Arc::new(Mutex::new(Vec::new()));
    let kept = targets.clone();
    let server = serve(Config::default(), move |_| {
        let kept = kept.clone();
        move |request: &Request<'_>, response: &mut Response<'_>| {
            kept.lock().unwrap().push(request.target().to_string());
            match &*request.path() {
                "/page" => {
                    response.header("content-type", "text/html").body(page().as_bytes());
                }
                _ => response.body(b"served"),
            }
        }
    });
    (server, targets)
}

/// Returns the output of a program, or `None` if it takes too long.
fn output_of(mut child: Child) -> Option<String> {
    let mut stdout = child.stdout.take().expect("its output");
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stdout.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let begun = Instant::now();
    while child.try_wait().expect("its state").is_none() {
        if begun.elapsed() > BROWSER_PATIENCE {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    reader.join().ok()
}

/// Chromium got 400 for URLs with brackets, braces and bars (issue 13, number 19).
#[test]
fn a_browser_is_served_every_url_that_it_sends() {
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    let Some(browser) = browsers.into_iter().find(|name| has_program(name)) else {
        return skip("no Chromium is installed");
    };
    let (server, targets) = serve_page();
    let profile = std::env::temp_dir().join(format!("pinloop-test-{}-web", std::process::id()));
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update"]);
    command.args(["--disable-dev-shm-usage", "--virtual-time-budget=20000", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command.arg(format!("http://{}/page", server.addr()));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let output = output_of(child);
    let _ = std::fs::remove_dir_all(&profile);
    let is_loaded = targets.lock().unwrap().iter().any(|target| target == "/page");
    stop(server);
    if !is_loaded {
        return skip("the browser does not load a page on this machine");
    }
    let output = output.expect("the browser ends");
    let expected = format!("statuses: {}", ["200"; URLS.len()].join(" "));
    assert!(output.contains(&expected), "{output}; served: {:?}", targets.lock().unwrap());
}

/// curl sends URLs as they are typed (issue 13, number 19).
#[test]
fn curl_is_served_every_url_that_it_sends() {
    if !has_program("curl") {
        return skip("curl is not installed");
    }
    let (server, targets) = serve_page();
    for url in URLS {
        let mut command = Command::new("curl");
        command.args(["--silent", "--globoff", "--max-time", "20", "--noproxy", "*"]);
        command.args(["--write-out", " %{http_code}"]);
        let output = command.arg(format!("http://{}{url}", server.addr())).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "served 200", "{url}");
    }
    assert_eq!(*targets.lock().unwrap(), URLS);
    stop(server);
}
