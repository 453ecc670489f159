//! Clients and servers that everybody has: curl, nginx, Python's http.server, nghttp2's load generator, slowhttptest.

use ounce_tests::proxy::{Proxy, Setup, service};
use ounce_tests::tool::{self, Server};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A directory with a small and a large file.
fn files() -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    fs::write(folder.path().join("small"), "small file\n").expect("a file");
    let large: Vec<u8> =
        (0..3_000_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    fs::write(folder.path().join("large"), large).expect("a file");
    folder
}

fn curl(words: &[&str]) -> Vec<u8> {
    let output = tool::run("curl", [["-sS", "--max-time", "60"].as_slice(), words].concat());
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn url(proxy: &Proxy, path: &str) -> String {
    format!("http://{}{path}", proxy.address())
}

/// What every origin must get through.
fn exercise(proxy: &Proxy, folder: &Path) {
    let large = fs::read(folder.join("large")).expect("a file");
    assert_eq!(curl(&[&url(proxy, "/small")]), b"small file\n");
    assert!(curl(&[&url(proxy, "/large")]) == large);
    assert!(curl(&["-0", &url(proxy, "/large")]) == large, "with HTTP/1.0");
    // Many on one connection.
    let range = url(proxy, "/small?[1-100]");
    assert_eq!(curl(&[&range]), b"small file\n".repeat(100));
    let head = String::from_utf8_lossy(&curl(&["-I", &url(proxy, "/large")])).to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("content-length: 3000000\r\n"), "{head}");
    let code = ["-o", "/dev/null", "-w", "%{http_code}"];
    assert_eq!(curl(&[code.as_slice(), &[&url(proxy, "/missing")]].concat()), b"404");
}

#[test]
fn curl_and_nginx() {
    let (folder, scratch) = (files(), tempfile::tempdir().expect("a directory"));
    let upload = "location /up { return 200 \"got $content_length $http_x_forwarded_for\"; }\n\
                  location = /moved { return 301 /small; }";
    let nginx = Server::nginx(scratch.path(), folder.path(), upload);
    let proxy = Setup::new().listener(&format!("xHTTP 1\n{}", service(&[nginx.port().address()]))).start();
    exercise(&proxy, folder.path());
    assert_eq!(curl(&["-r", "1000-1999", &url(&proxy, "/large")]).len(), 1000);
    assert_eq!(curl(&["-L", &url(&proxy, "/moved")]), b"small file\n");
    let large = format!("@{}", folder.path().join("large").display());
    assert_eq!(curl(&["--data-binary", &large, &url(&proxy, "/up")]), b"got 3000000 127.0.0.1");
    let path = folder.path().join("large");
    let put = ["-T", path.to_str().expect("text"), "-H", "Expect: 100-continue"];
    assert_eq!(curl(&[put.as_slice(), &[&url(&proxy, "/up")]].concat()), b"got 3000000 127.0.0.1");
}

#[test]
fn curl_and_python() {
    let folder = files();
    let python = Server::python(folder.path());
    let proxy = Proxy::before(&[python.port().address()]);
    exercise(&proxy, folder.path());
    let list = String::from_utf8_lossy(&curl(&[&url(&proxy, "/")])).into_owned();
    assert!(list.contains("small") && list.contains("large"), "{list}");
}

#[test]
fn h2load_in_its_old_language_sees_no_failure() {
    let (folder, scratch) = (files(), tempfile::tempdir().expect("a directory"));
    let nginx = Server::nginx(scratch.path(), folder.path(), "");
    let proxy = Proxy::before(&[nginx.port().address()]);
    for path in ["/small", "/large"] {
        let output = tool::run("h2load", ["--h1", "-n", "300", "-c", "10", "-m", "4", &url(&proxy, path)]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("300 succeeded, 0 failed, 0 errored, 0 timeout"), "{text}");
    }
}

/// A client that sends its head drop by drop is cut off, and others are served meanwhile.
#[test]
fn slowhttptest_wears_nobody_out() {
    let (folder, scratch) = (files(), tempfile::tempdir().expect("a directory"));
    let nginx = Server::nginx(scratch.path(), folder.path(), "");
    let proxy = Setup::new().global("Client", "2").backends(&[nginx.port().address()]).start();
    let target = url(&proxy, "/small");
    let attack = std::thread::spawn(move || {
        tool::run("slowhttptest", ["-H", "-c", "300", "-r", "200", "-i", "5", "-l", "8", "-u", &target])
    });
    while !attack.is_finished() {
        assert_eq!(curl(&[&url(&proxy, "/small")]), b"small file\n");
    }
    let text = attack.join().expect("slowhttptest");
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("YES"), "the service was not available all the time:\n{text}");
}
