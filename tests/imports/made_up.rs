//! Tests of the checker itself, on small made-up crates.

use std::collections::BTreeMap;
use std::path::Path;

use super::references::{Reference, Tree};
use super::{circles, violations_of_http};

type Files = &'static [(&'static str, &'static str)];

fn references(files: Files) -> Vec<Reference> {
    let files: BTreeMap<&Path, &str> =
        files.iter().map(|&(name, text)| (Path::new(name), text)).collect();
    Tree::read("src/lib.rs", &|file| files.get(file).map(ToString::to_string)).references()
}

fn circles_of(files: Files) -> Vec<String> {
    circles::find(&references(files))
}

#[test]
fn finds_two_files_that_import_each_other() {
    let files: Files = &[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "use crate::b::B; pub struct A;"),
        ("src/b.rs", "use super::a::A; pub struct B;"),
    ];
    let circle = "src/a.rs needs src/b.rs for crate::b::B\n\
                  src/b.rs needs src/a.rs for super::a::A";
    assert_eq!(circles_of(files), [circle]);
}

#[test]
fn finds_a_circle_of_three_files_in_folders() {
    let files: Files = &[
        ("src/lib.rs", "mod a;"),
        ("src/a/mod.rs", "mod b; mod c; mod d;"),
        ("src/a/b.rs", "use std::io; use super::{c::{self, C}, d as e}; pub struct B;"),
        ("src/a/c.rs", "mod inner { pub(super) struct X(super::super::d::D); } pub struct C;"),
        ("src/a/d.rs", "pub struct D; fn f() -> crate::a::b::B { todo() }"),
    ];
    let found = circles_of(files);
    assert!(found[0].starts_with("src/a/b.rs needs "), "{found:?}");
    assert!(found.iter().any(|circle| circle.contains("src/a/c.rs needs ")), "{found:?}");
}

#[test]
fn finds_a_child_that_uses_a_re_export_of_its_parent() {
    let files: Files = &[
        ("src/lib.rs", "mod a;"),
        ("src/a/mod.rs", "mod b; mod c; pub use b::B; pub use c::C;"),
        ("src/a/b.rs", "pub struct B;"),
        ("src/a/c.rs", "use super::B; pub struct C(B);"),
    ];
    let circle = "src/a/c.rs needs src/a/mod.rs for super::B\n\
                  src/a/mod.rs needs src/a/c.rs for c::C";
    let found = circles_of(files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(circle.lines().all(|line| found[0].contains(line)), "{found:?}");
}

#[test]
fn finds_paths_in_function_bodies_and_in_macro_arguments() {
    for body in [
        "fn f() { crate::b::run(); }",
        "fn f() { use crate::b::run; run(); }",
        "fn f() { println!(\"{}\", [1, crate::b::run()][0]); }",
        "fn f() { assert!(matches!(1, crate::b::ONE)); }",
        "use crate::b as bee; fn f() { bee::run(); }",
        "use crate::b::*;",
        "impl crate::b::Trait for u8 {}",
        "struct S<T: crate::b::Trait>(Vec<T>);",
    ] {
        let lib = ("src/lib.rs", "mod a; mod b;");
        let a: &'static str = format!("{body} pub struct A;").leak();
        let files = [lib, ("src/a.rs", a), ("src/b.rs", "use crate::a::A;")];
        let files: Files = files.to_vec().leak();
        assert_eq!(circles_of(files).len(), 1, "{body}");
    }
}

#[test]
fn resolves_a_re_export_to_the_file_that_defines_the_name() {
    let files: Files = &[
        ("src/lib.rs", "mod a; mod d; pub use d::D;"),
        ("src/a/mod.rs", "mod b; mod c; pub use b::B; pub use c::*;"),
        ("src/a/b.rs", "pub struct B;"),
        ("src/a/c.rs", "use crate::d::D; pub struct C(D);"),
        ("src/d.rs", "use crate::a::B; pub struct D(B);"),
    ];
    assert_eq!(circles_of(files), Vec::<String>::new());
    let through_glob: Files = &[
        ("src/lib.rs", "mod a; mod d;"),
        ("src/a/mod.rs", "mod c; pub use c::*;"),
        ("src/a/c.rs", "use crate::d::D; pub struct C(D);"),
        ("src/d.rs", "use crate::a::C; pub struct D(C);"),
    ];
    let found = circles_of(through_glob);
    assert!(found.len() == 1 && found[0].contains("src/d.rs needs src/a/c.rs"), "{found:?}");
}

#[test]
fn ignores_tests_docs_visibilities_and_macro_definitions() {
    let files: Files = &[
        ("src/lib.rs", "#[macro_use] mod a; mod b; pub use b::B;"),
        (
            "src/a.rs",
            "//! Links to [`B`](crate::b::B).
             pub(in crate::b) struct A;
             #[macro_export] macro_rules! line { () => { $crate::b::B }; }
             #[cfg(test)] mod tests { use crate::b::B; }
             #[cfg(test)] impl A { fn b() -> crate::b::B { crate::b::B } }
             impl A { #[cfg(test)] fn c() -> crate::b::B { crate::b::B } }",
        ),
        ("src/b.rs", "use crate::a::A; pub struct B(A); fn f() { crate::line!() }"),
    ];
    assert_eq!(circles_of(files), Vec::<String>::new());
}

#[test]
fn a_name_from_another_crate_is_not_a_module_of_the_same_name() {
    let files: Files = &[
        ("src/lib.rs", "mod log; mod a;"),
        ("src/log.rs", "use crate::a::A; pub struct Log;"),
        ("src/a.rs", "use log::warn; pub struct A; fn f() { warn!(\"a\"); log::debug!(\"b\"); }"),
    ];
    assert_eq!(circles_of(files), Vec::<String>::new());
}

#[test]
fn finds_forbidden_names_in_the_protocol_core() {
    for line in [
        "use std::io::Read;",
        "use std::{fs, fmt};",
        "use std::net::TcpStream;",
        "fn f() { std::thread::spawn(f); }",
        "use std::time::{Duration, Instant};",
        "use std::time::SystemTime; fn f() { SystemTime::now(); }",
        "use std::time; fn f() { time::Instant::now(); }",
        "fn f() { let _ = vec![std::time::SystemTime::now()]; }",
        "use mio::Token;",
        "use socket2::Socket;",
        "use crate::server::Server;",
        "use super::server::Server;",
        "use crate::{Server, http};",
        "use crate::Config;",
        "use crate::config::Config;",
    ] {
        let lib = "mod http; mod server; mod config; pub use server::Server; pub use config::*;";
        let files = [
            ("src/lib.rs", lib),
            ("src/http.rs", line),
            ("src/server.rs", "pub struct Server;"),
            ("src/config.rs", "pub struct Config;"),
        ];
        let files: Files = files.to_vec().leak();
        assert!(!violations_of_http(&references(files)).is_empty(), "{line}");
    }
    let files: Files = &[
        ("src/lib.rs", "pub mod http;"),
        ("src/http/mod.rs", "mod date; pub use date::Date;"),
        (
            "src/http/date.rs",
            "use core::net::IpAddr; use std::time::{Duration, SystemTime, UNIX_EPOCH};
             use httparse::Status; pub struct Date; fn instant() { stdout::io(); }",
        ),
    ];
    assert_eq!(violations_of_http(&references(files)), Vec::<String>::new());
}
