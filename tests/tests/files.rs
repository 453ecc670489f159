//! `SendFile` and `ACME`: files by the warden, whatever becomes of it, and never one that lies elsewhere.

use nix::sys::signal::Signal;
use nix::unistd::{User, chown, mkfifo};
use ounce_tests::barrier::{DEADLINE, until};
use ounce_tests::client::Client;
use ounce_tests::crowd::{Crowd, Manner};
use ounce_tests::process;
use ounce_tests::proxy::{Proxy, Setup};
use std::fs::{self, Permissions};
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// A directory "files" in the test's with a page, and one beside it that must not be seen.
fn setup() -> Setup {
    let setup = Setup::new().global("Workers", "1").global("LogLevel", "2");
    let at = |name: &str| setup.folder().join(name);
    fs::create_dir_all(at("files/inner")).expect("a directory");
    fs::create_dir(at("outside")).expect("a directory");
    fs::write(at("files/page.html"), "0123456789").expect("a file");
    fs::write(at("files/inner/a b.txt"), "inner").expect("a file");
    fs::write(at("outside/secret"), "secret").expect("a file");
    setup
}

fn start() -> Proxy {
    setup().listener("Service\nSendFile \"{folder}/files\"\nEnd").start()
}

fn status(proxy: &Proxy, path: &str) -> u16 {
    proxy.client().get(path).status
}

#[test]
fn files_come_with_type_length_and_version_on_one_connection() {
    let proxy = start();
    let mut client = proxy.client();
    let page = client.get("/page.html?query");
    assert_eq!((page.status, page.text().as_str()), (200, "0123456789"));
    assert_eq!(page.fields.get("Content-Type"), Some("text/html"));
    assert_eq!(page.fields.get("Content-Length"), Some("10"));
    assert_eq!(page.fields.get("Accept-Ranges"), Some("bytes"));
    assert!(page.fields.get("Last-Modified").is_some_and(|date| date.ends_with(" GMT")));
    let tag = page.fields.get("ETag").expect("a tag").to_owned();
    let text = client.get("/inner/a%20b.txt");
    assert_eq!((text.text().as_str(), text.fields.get("Content-Type")), ("inner", Some("text/plain")));
    let head = client.ask("HEAD /page.html HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.fields.get("Content-Length")), (200, Some("10")));
    let absent = client.get("/absent");
    assert_eq!((absent.status, absent.closes()), (404, false));
    assert!(absent.text().contains("<h1>Not Found</h1>"));
    let mut ask =
        |fields: &str| client.ask(format!("GET /page.html HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
    let known = ask(&format!("If-None-Match: {tag}"));
    assert_eq!((known.status, known.body.len()), (304, 0));
    let part = ask("Range: bytes=2-4");
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    let parts = ask("Range: bytes=7-, 2-4");
    let kind = parts.fields.get("Content-Type").expect("a type").to_owned();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("a boundary").to_owned();
    let lines = |range: &str, bytes: &str| {
        format!(
            "--{boundary}\r\nContent-Type: text/html\r\nContent-Range: bytes {range}/10\r\n\r\n{bytes}\r\n"
        )
    };
    let expected = lines("7-9", "789") + &lines("2-4", "234") + &format!("--{boundary}--\r\n");
    assert_eq!((parts.status, parts.text()), (206, expected));
    let greedy = ask("Range: bytes=0-, 2-4");
    assert_eq!((greedy.status, greedy.text().as_str()), (200, "0123456789"), "what overlaps");
    assert_eq!(part.fields.get("Content-Range"), Some("bytes 2-4/10"));
    assert_eq!(ask("Range: bytes=10-").status, 416);
    assert_eq!(ask(&format!("Range: bytes=0-0\r\nIf-Range: {tag}")).text(), "0");
    assert_eq!(ask("Range: bytes=0-0\r\nIf-Range: \"other\"").text(), "0123456789");
    assert_eq!(ask("If-Match: \"other\"").status, 412);
    let post = client.ask("POST /page.html HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!((post.status, post.fields.get("Allow")), (405, Some("GET, HEAD")));
    proxy.lines().wait_for("a line that names the directory", |line| {
        line.contains("GET /page.html?query") && line.contains("-> file:") && line.contains("200 OK")
    });
}

#[test]
fn no_name_and_no_link_leads_out() {
    let proxy = start();
    let files = proxy.folder().join("files");
    symlink("../outside", files.join("climbing")).expect("a link");
    symlink(proxy.folder().join("outside"), files.join("absolute")).expect("a link");
    symlink("inner/a b.txt", files.join("final")).expect("a link");
    symlink("inner", files.join("inside")).expect("a link");
    mkfifo(&files.join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    assert_eq!(status(&proxy, "/inside/a%20b.txt"), 200);
    for path in [
        "/",
        "/inner",
        "/inner/",
        "/fifo",
        "/final",
        "/climbing/secret",
        "/absolute/secret",
        "/../outside/secret",
        "/%2e%2e/outside/secret",
        "/%2E%2E%2Foutside%2Fsecret",
        "/inner/..%2f..%2foutside/secret",
        "/%252e%252e/outside/secret",
        "/..%5coutside%5csecret",
        "/..%c0%afoutside/secret",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/page.html/",
        "/page.html/..",
        "/./page.html",
        "/page.html%00",
    ] {
        assert_eq!(status(&proxy, path), 404, "{path}");
    }
    let absolute = "GET http://test/%2e%2e/outside/secret HTTP/1.1\r\nHost: test\r\n\r\n";
    assert_eq!(proxy.client().ask(absolute).status, 404);
}

/// Files that come, change and go are seen at once.
#[test]
fn a_file_is_what_it_is_now() {
    let proxy = start();
    let file = proxy.folder().join("files/later");
    assert_eq!(status(&proxy, "/later"), 404);
    fs::write(&file, "one").expect("a file");
    assert_eq!(proxy.client().get("/later").text(), "one");
    fs::write(&file, "second").expect("a file");
    assert_eq!(proxy.client().get("/later").text(), "second");
    fs::remove_file(&file).expect("a file");
    assert_eq!(status(&proxy, "/later"), 404);
}

#[test]
fn errors_are_the_listener_s() {
    let setup = setup();
    fs::write(setup.folder().join("404.html"), "X-Page: own\n\nnothing here").expect("a page");
    let proxy = setup
        .listener("ErrorFile 404 \"{folder}/404.html\"\nService\nSendFile \"{folder}/files\"\nEnd")
        .start();
    let absent = proxy.client().get("/absent");
    assert_eq!((absent.status, absent.text().as_str()), (404, "nothing here"));
    assert_eq!(absent.fields.get("X-Page"), Some("own"));
    assert_eq!(status(&proxy, "/page.html"), 200);
}

#[test]
fn the_path_may_be_rewritten_and_the_answer_too() {
    let inside = "Service\nPath -beg \"/static/\"\nRewrite\nPath \"^/static(/.*)\"\nSetPath \"$1\"\nEnd\n\
                  Rewrite response\nSetHeader \"Cache-Control: max-age=60\"\nEnd\nSendFile \"{folder}/files\"\nEnd";
    let proxy = setup().listener(inside).start();
    let page = proxy.client().get("/static/page.html");
    assert_eq!((page.text().as_str(), page.fields.get("Cache-Control")), ("0123456789", Some("max-age=60")));
    assert_eq!(status(&proxy, "/static/static/page.html"), 404);
    assert_eq!(status(&proxy, "/page.html"), 503);
}

/// A file of many pieces, to a client that takes its time, while the memory of the warden stays small.
#[test]
fn a_large_file_is_streamed() {
    const BYTES: u64 = 300 * 1024 * 1024;
    let proxy = start();
    let file = fs::File::create(proxy.folder().join("files/large")).expect("a file");
    file.set_len(BYTES).expect("room");
    let warden = proxy.warden();
    let mut client = proxy.client();
    client.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut stream = client.stream();
    let (mut came, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        let count = stream.read(&mut buffer).expect("bytes");
        if count == 0 {
            break;
        }
        came += count as u64;
    }
    assert!(came > BYTES && came < BYTES + 1024, "{came}");
    let peak = process::status_field(warden, "VmHWM").as_deref().and_then(first).expect("its peak in KiB");
    assert!(peak < 64 * 1024, "{peak} KiB");
}

/// Requests that it was answering are asked again of its successor; connections that it had not taken wait for it.
#[test]
fn a_killed_warden_costs_no_request() {
    let proxy = setup().listener("Service\nSetPath \"/index\"\nSendFile \"{folder}/files\"\nEnd").start();
    fs::write(proxy.folder().join("files/index"), "x".repeat(5000)).expect("a file");
    let mut client = proxy.client();
    assert_eq!(client.get("/index").status, 200);
    let crowd = Crowd::gather(proxy.address(), 8, Manner::KeepAlive);
    for _ in 0..3 {
        crowd.wait_answers(200);
        let warden = proxy.warden();
        assert!(process::signal(warden, Signal::SIGKILL));
        process::wait_gone(warden);
        // While there is none, a request waits.
        assert_eq!(client.get("/index").body.len(), 5000);
    }
    let (answered, failures) = crowd.stop();
    assert!(answered > 600 && failures.is_empty(), "{answered}: {:?}", failures.first());
}

/// A download that a reload meets goes on from the old warden, which ends after it.
#[test]
fn a_reload_cuts_no_file_short() {
    const BYTES: usize = 50 * 1024 * 1024;
    let mut proxy = start();
    fs::write(proxy.folder().join("files/large"), vec![b'x'; BYTES]).expect("a file");
    let old = proxy.warden();
    let mut client = proxy.client();
    client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    client.link().read_exact(1000).expect("a beginning");
    fs::create_dir(proxy.folder().join("other")).expect("a directory");
    fs::write(proxy.folder().join("other/page.html"), "other").expect("a file");
    let other = ounce_tests::proxy::listener("{port}", "Service\nSendFile \"{folder}/other\"\nEnd");
    proxy.setup().set_text(&other);
    proxy.reload().expect("a reload");
    assert_eq!(proxy.client().get("/page.html").text(), "other");
    assert!(process::lives(old));
    let rest = client.link().rest().expect("the whole file");
    assert!(rest.len() >= BYTES - 1000, "{}", rest.len());
    process::wait_gone(old);
}

/// The warden opens the directory as root before it becomes somebody else, outside the workers' jail.
#[test]
fn challenges_are_answered_from_a_jail_without_rights() {
    let nobody = User::from_name("nobody").expect("a user database").expect("a user called nobody");
    let jail = tempfile::tempdir().expect("a directory");
    fs::set_permissions(jail.path(), Permissions::from_mode(0o755)).expect("an own directory");
    let setup =
        setup().global("User", "\"nobody\"").global("RootJail", &format!("\"{}\"", jail.path().display()));
    // Only root may enter what the directory lies in.
    let closed = setup.folder().join("closed");
    let challenges = closed.join("challenges");
    fs::create_dir_all(&challenges).expect("a directory");
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).expect("an own directory");
    chown(&challenges, Some(nobody.uid), None).expect("the rights of root");
    let inside = "SetPath \"/elsewhere\"\nACME \"{folder}/closed/challenges\"\nService\nError 404\nEnd";
    let proxy = setup.listener(inside).start();
    let path = "/.well-known/acme-challenge/token";
    assert_eq!(status(&proxy, path), 404);
    fs::write(challenges.join("token"), "token.thumbprint").expect("a file");
    fs::write(challenges.join("private"), "x").expect("a file");
    fs::set_permissions(challenges.join("private"), Permissions::from_mode(0o600)).expect("an own file");
    let answer = |client: &mut Client| {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (200, "token.thumbprint"));
        assert_eq!(answer.fields.get("Content-Type"), Some("text/html"));
    };
    answer(&mut proxy.client());
    // What root alone may read stays unread.
    assert_eq!(status(&proxy, "/.well-known/acme-challenge/private"), 403);
    assert_eq!(status(&proxy, "/.well-known/acme-challenge/../token"), 404);
    assert_eq!(status(&proxy, "/.well-known/acme-challenge"), 404);
    let warden = proxy.warden();
    assert_eq!(process::status_field(warden, "Uid").as_deref().and_then(first), Some(nobody.uid.as_raw()));
    assert!(process::signal(warden, Signal::SIGKILL));
    answer(&mut proxy.client());
    proxy.reload().expect("a reload");
    answer(&mut proxy.client());
    let worker = proxy.workers()[0];
    assert!(process::signal(worker, Signal::SIGKILL));
    process::wait_gone(worker);
    answer(&mut proxy.client());
}

fn first(numbers: &str) -> Option<u32> {
    numbers.split_whitespace().next()?.parse().ok()
}

/// The warden stands still, as on a disk that does not answer; what other services answer does not.
#[test]
fn a_warden_that_stands_still_holds_up_its_own_services_alone() {
    let inside = "Service\nPath \"/health\"\nSuccess\nEnd\nService\nSendFile \"{folder}/files\"\nEnd";
    let proxy = setup().listener(inside).start();
    let warden = proxy.warden();
    assert!(process::signal(warden, Signal::SIGSTOP));
    let mut waiting = proxy.client();
    waiting.send("GET /page.html HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..50 {
        assert_eq!(status(&proxy, "/health"), 200);
    }
    assert!(process::signal(warden, Signal::SIGCONT));
    assert_eq!(waiting.answer().text(), "0123456789");
}

#[test]
fn a_client_of_many_people_s_reads_it() {
    let proxy = start();
    let url = |path: &str| format!("http://{}{path}", proxy.address());
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl").args(["-sS", "--max-time", "60"]).args(arguments).output();
        String::from_utf8_lossy(&output.expect("curl").stdout).into_owned()
    };
    assert_eq!(curl(&[&url("/page.html")]), "0123456789");
    assert_eq!(curl(&["-r", "-3", &url("/page.html")]), "789");
    assert_eq!(
        curl(&["-w", "%{http_code}", "-o", "/dev/null", "--path-as-is", &url("/../outside/secret")]),
        "404"
    );
    let kept = proxy.folder().join("kept");
    fs::write(&kept, "0123").expect("a file");
    curl(&["-C", "-", "-o", &kept.to_string_lossy(), &url("/page.html")]);
    assert_eq!(fs::read_to_string(&kept).expect("a file"), "0123456789");
}

/// A connection that a client left is let go of, with what was being read for it.
#[test]
fn a_client_that_leaves_is_let_go_of() {
    let proxy = start();
    fs::write(proxy.folder().join("files/large"), vec![b'x'; 20 * 1024 * 1024]).expect("a file");
    let warden = proxy.warden();
    until("a quiet warden", || (open_files(warden, "large") == 0).then_some(()));
    let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        client.link().read_exact(1000).expect("a beginning");
    }
    assert_eq!(open_files(warden, "large"), 4);
    clients.into_iter().for_each(Client::reset);
    until("the files to be closed", || (open_files(warden, "large") == 0).then_some(()));
}

fn open_files(pid: i32, name: &str) -> usize {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link: &std::path::PathBuf| link.file_name() == Path::new(name).file_name()).count()
}

#[test]
fn a_directory_that_is_not_there_is_told_by_its_place() {
    let setup =
        setup().listener("ACME \"{folder}/absent\"\nService\nSendFile \"{folder}/outside/secret\"\nEnd");
    let output = setup.command().arg("-c").output().expect("the program");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("/absent: No such file or directory"), "{text}");
    assert!(text.contains("/outside/secret is no directory"), "{text}");
}

/// Nothing of it can be reached by whoever is not a worker: there is no socket with a name.
#[test]
fn the_way_to_the_warden_has_no_name() {
    let proxy = start();
    assert_eq!(status(&proxy, "/page.html"), 200);
    let names: Vec<String> = fs::read_to_string("/proc/net/unix")
        .expect("the kernel's list")
        .lines()
        .filter_map(|line| line.split_whitespace().nth(7).map(str::to_owned))
        .filter(|name| name.contains("ounce") && !name.contains("/control"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
    let _ = (TcpStream::connect_timeout(&proxy.address(), DEADLINE)).expect("the listener");
}
