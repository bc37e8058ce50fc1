//! Requests that differ in the framing of their body.

use super::{chunked, post};

pub(super) fn content_lengths() -> Vec<Vec<u8>> {
    let values = [
        "5",
        "05",
        "0000000000000000000000005",
        "0",
        "00",
        "",
        " ",
        "+5",
        "-5",
        "-0",
        "0x5",
        "5a",
        "a",
        "5.0",
        "5e0",
        "5 ",
        " 5",
        "\t5\t",
        "5 5",
        "5,5",
        "5, 5",
        "5,6",
        "5,",
        ",5",
        "5;",
        "\"5\"",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999",
        "\u{665}",
    ];
    let one = values.iter().map(|value| post(&format!("Content-Length: {value}"), "hello"));
    let two = values.iter().flat_map(|first| {
        ["5", "6", "5, 5"].map(|second| {
            post(&format!("Content-Length: {first}\r\nContent-Length: {second}"), "hello")
        })
    });
    one.chain(two).collect()
}

const CODINGS: [&str; 27] = [
    "chunked",
    "Chunked",
    "CHUNKED",
    " chunked ",
    "\tchunked\t",
    "chunked,",
    ",chunked",
    ", chunked,",
    "chunked, chunked",
    "chunked;a=b",
    "chunked ; a",
    "chunked x",
    "x chunked",
    "xchunked",
    "chunke",
    "\"chunked\"",
    "gzip, chunked",
    "gzip,chunked",
    "chunked, gzip",
    "chunked, identity",
    "identity",
    "identity, chunked",
    "gzip",
    "foo",
    "foo, chunked",
    "",
    ",",
];

pub(super) fn transfer_encodings() -> Vec<Vec<u8>> {
    let content = "5\r\nhello\r\n0\r\n\r\n";
    let one = CODINGS.iter().map(|coding| post(&format!("Transfer-Encoding: {coding}"), content));
    let two = CODINGS.iter().flat_map(|first| {
        ["chunked", "gzip", "identity"].map(|second| {
            let fields = format!("Transfer-Encoding: {first}\r\nTransfer-Encoding: {second}");
            post(&fields, content)
        })
    });
    let old = CODINGS.iter().map(|coding| {
        let head = "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding";
        format!("{head}: {coding}\r\n\r\n{content}").into_bytes()
    });
    one.chain(two).chain(old).collect()
}

pub(super) fn both_lengths() -> Vec<Vec<u8>> {
    let all = CODINGS.iter().flat_map(|coding| {
        ["0", "5", "15", "x"].into_iter().flat_map(move |length| {
            [
                format!("Content-Length: {length}\r\nTransfer-Encoding: {coding}"),
                format!("Transfer-Encoding: {coding}\r\nContent-Length: {length}"),
            ]
        })
    });
    all.map(|fields| post(&fields, "5\r\nhello\r\n0\r\n\r\n")).collect()
}

pub(super) fn chunk_sizes() -> Vec<Vec<u8>> {
    let sizes = [
        "5",
        "05",
        "+5",
        "-5",
        "0x5",
        "5h",
        "x5",
        "",
        " 5",
        "\t5",
        "5 ",
        "5\t",
        "5 5",
        "5.",
        "FFFFFFFFFFFFFFFF",
        "10000000000000000",
        "10000000000000005",
        "5\0",
        "\u{665}",
    ];
    let first = sizes.iter().map(|size| chunked(&format!("{size}\r\nhello\r\n0\r\n\r\n")));
    let second =
        sizes.iter().map(|size| chunked(&format!("1\r\nx\r\n{size}\r\nhello\r\n0\r\n\r\n")));
    let last = ["0", "00", "-0", "+0", " 0", "0 ", "0x0"];
    let last = last.iter().map(|size| chunked(&format!("5\r\nhello\r\n{size}\r\n\r\n")));
    first.chain(second).chain(last).collect()
}

pub(super) fn chunk_size_digits() -> Vec<Vec<u8>> {
    let contents = (1..20).flat_map(|digits| {
        [
            format!("{:0digits$}\r\nhello\r\n0\r\n\r\n", 5),
            format!("5\r\nhello\r\n{:0digits$}\r\n\r\n", 0),
        ]
    });
    contents.map(|content| chunked(&content)).collect()
}

pub(super) fn chunk_extensions() -> Vec<Vec<u8>> {
    let extensions = [
        ";a",
        ";a=b",
        ";a=\"b\"",
        ";a=\"b\\\"c\"",
        ";a=\"b;c\"",
        ";a;b;c",
        " ;a",
        "\t;a",
        "; a",
        ";a ;b",
        ";a =b",
        ";a= b",
        ";a = b",
        ";a=b ;c",
        ";",
        ";;",
        ";=b",
        ";a=",
        ";a==b",
        ";a b",
        ";a=b c",
        ";a=\"b",
        ";a=b\"",
        ";a=\"b\"c",
        ";a=\"\u{1}\"",
        ";\u{1}",
        ";a\0",
        ";a\u{7f}",
        ";\u{e4}",
        ";a=\"\u{e4}\"",
        ";a=(b)",
        ";a ",
        ";a=b ",
        ";a\rb",
        ";a\nb",
        ";a=\"\r\n\"",
    ];
    let all = extensions.iter().flat_map(|extension| {
        [
            format!("5{extension}\r\nhello\r\n0\r\n\r\n"),
            format!("5\r\nhello\r\n0{extension}\r\n\r\n"),
        ]
    });
    all.map(|content| chunked(&content)).collect()
}

pub(super) fn chunk_ends() -> Vec<Vec<u8>> {
    let ends = [
        "\r\n", "\n", "\r", "", "\r\r\n", "x\r\n", "xx", " \r\n", "\n\n", "\n\r", "\r\n\r\n",
        "\0\0",
    ];
    let all = ends.iter().flat_map(|end| {
        [
            format!("5{end}hello\r\n0\r\n\r\n"),
            format!("5\r\nhello{end}0\r\n\r\n"),
            format!("5\r\nhello\r\n0{end}\r\n"),
            format!("5\r\nhello\r\n0\r\n{end}"),
        ]
    });
    all.map(|content| chunked(&content)).collect()
}

pub(super) fn trailers() -> Vec<Vec<u8>> {
    let trailers = [
        "a: b",
        "a:",
        "a:b",
        "a: b\r\nc: d",
        "A: \t b \t",
        "a: \u{e4}",
        "a : b",
        ": b",
        "a",
        "a b",
        " a: b",
        "a: b\r\n c",
        "a: \0",
        "a: \u{1}",
        "a: \u{7f}",
        "a\0: b",
        "\u{e4}: b",
        "a: b\n",
        "a: b\rc",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Host: b",
        "a: b\r\n\n",
    ];
    trailers.map(|trailer| chunked(&format!("5\r\nhello\r\n0\r\n{trailer}\r\n\r\n"))).to_vec()
}
