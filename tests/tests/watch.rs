//! Watched files: what is in them changes what the running program does, without a reload.

use nix::sys::signal::Signal;
use ounce_tests::answer::Answer;
use ounce_tests::process;
use ounce_tests::proxy::{Proxy, Setup};
use std::fs;
use std::path::PathBuf;

/// A service that takes requests under this condition, and one that takes the others.
fn with(condition: &str) -> Setup {
    Setup::new().listener(&format!("Service\n{condition}\nSuccess\nEnd\nService\nError 404\nEnd\n"))
}

fn file(setup: &Setup, name: &str, text: &str) -> PathBuf {
    let path = setup.folder().join(name);
    fs::write(&path, text).expect("a file");
    path
}

/// Puts a file in the place of another, as careful programs do, and waits until every worker has taken it.
fn change(proxy: &Proxy, name: &str, text: &str) {
    let said = proxy.problems().len();
    let new = proxy.folder().join("new");
    fs::write(&new, text).expect("a file");
    fs::rename(&new, proxy.folder().join(name)).expect("a file in the place of another");
    wait(proxy, said, &format!("{name} has changed: its new contents are in use"));
}

/// Waits for a line with this text, after so many lines.
fn wait(proxy: &Proxy, said: usize, text: &str) {
    proxy.problems().wait(text, |all| all[said..].iter().any(|line| line.contains(text)).then_some(()));
}

/// The status of a request on connections of their own, as many as meet every worker.
fn status(proxy: &Proxy, head: &str) -> u16 {
    let ask = || -> Answer { proxy.client().ask(format!("{head}\r\nHost: h\r\nConnection: close\r\n\r\n")) };
    let first = ask().status;
    for _ in 0..16 {
        assert_eq!(ask().status, first, "workers disagree");
    }
    first
}

const PLAIN: &str = "GET / HTTP/1.1";

#[test]
fn networks_change_without_a_reload() {
    let setup = with("ACL -filewatch \"{folder}/nets\"");
    file(&setup, "nets", "10.0.0.0/8\n");
    let proxy = setup.start();
    let workers = proxy.workers();
    assert_eq!(status(&proxy, PLAIN), 404);
    change(&proxy, "nets", "# here\n\"127.0.0.0/8\"\n");
    assert_eq!(status(&proxy, PLAIN), 200);
    // Written in its place, as editors of old do.
    let said = proxy.problems().len();
    fs::write(proxy.folder().join("nets"), "10.0.0.0/8\n").expect("a file");
    wait(&proxy, said, "nets has changed: its new contents are in use");
    assert_eq!(status(&proxy, PLAIN), 404);
    assert_eq!(proxy.workers(), workers, "nobody was replaced");
}

/// A file that another program has still to write is nothing to wait for.
#[test]
fn a_file_may_come_later() {
    for (condition, name, text) in [
        ("ACL -filewatch \"{folder}/nets\"", "nets", "127.0.0.0/8\n"),
        ("Host -filewatch \"{folder}/hosts\"", "hosts", "h\n"),
    ] {
        let proxy = with(condition).start();
        proxy.problems().wait_for("a word about it", |line| line.contains(&format!("{name} is not there")));
        assert_eq!(status(&proxy, PLAIN), 404, "{condition}");
        change(&proxy, name, text);
        assert_eq!(status(&proxy, PLAIN), 200, "{condition}");
    }
}

#[test]
fn a_named_list_and_trusted_proxies_change_where_they_are_used() {
    let setup = Setup::new()
        .text("ACL \"ours\" -filewatch \"{folder}/ours\"\nTrustedIP -filewatch \"{folder}/proxies\"\n")
        .listener(
            "Service\nNot ACL \"ours\"\nError 403\nEnd\nService\nACL -forwarded\n\"192.0.2.1\"\nEnd\nSuccess\nEnd\nService\nError 404\nEnd\n",
        );
    file(&setup, "ours", "127.0.0.1\n");
    file(&setup, "proxies", "10.0.0.1\n");
    let proxy = setup.start();
    let forwarded = "GET / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1";
    assert_eq!(status(&proxy, forwarded), 404);
    change(&proxy, "proxies", "127.0.0.1\n");
    assert_eq!(status(&proxy, forwarded), 200);
    change(&proxy, "ours", "10.0.0.1\n");
    assert_eq!(status(&proxy, forwarded), 403);
}

#[test]
fn patterns_change_without_a_reload() {
    let setup = with("Path -beg -filewatch \"{folder}/paths\"");
    file(&setup, "paths", "/a\n");
    let proxy = setup.start();
    assert_eq!((status(&proxy, "GET /a HTTP/1.1"), status(&proxy, "GET /b HTTP/1.1")), (200, 404));
    change(&proxy, "paths", "/b\n/c\n");
    assert_eq!((status(&proxy, "GET /a HTTP/1.1"), status(&proxy, "GET /b HTTP/1.1")), (404, 200));
}

/// A file that cannot be used is reported with its line and changes nothing, however often it is looked at.
#[test]
fn a_faulty_file_and_one_that_is_gone_change_nothing() {
    let setup = with("ACL -filewatch \"{folder}/nets\"");
    file(&setup, "nets", "127.0.0.1\n");
    let proxy = setup.start();
    let said = proxy.problems().len();
    fs::write(proxy.folder().join("nets"), "10.0.0.1\nnowhere\n").expect("a file");
    wait(&proxy, said, "nets:2: nowhere is no network");
    wait(&proxy, said, "nets: what was read before stays in use");
    assert_eq!(status(&proxy, PLAIN), 200);
    let said = proxy.problems().len();
    fs::remove_file(proxy.folder().join("nets")).expect("a file to remove");
    wait(&proxy, said, "nets: No such file or directory");
    assert_eq!(status(&proxy, PLAIN), 200);
    change(&proxy, "nets", "10.0.0.1\n");
    assert_eq!(status(&proxy, PLAIN), 404);
}

/// Whoever comes later knows what the others know: a worker that takes the place of one that died, and a generation
/// whose file changed after it was read.
#[test]
fn workers_that_start_later_have_the_newest() {
    let setup = with("ACL -filewatch \"{folder}/nets\"");
    file(&setup, "nets", "10.0.0.0/8\n");
    let proxy = setup.start();
    change(&proxy, "nets", "127.0.0.1\n");
    for pid in proxy.workers() {
        assert!(process::signal(pid, Signal::SIGKILL), "a worker that lives");
    }
    proxy.wait_workers(2);
    assert_eq!(status(&proxy, PLAIN), 200);
    proxy.reload().expect("a reload");
    proxy.wait_workers(2);
    assert_eq!(status(&proxy, PLAIN), 200);
    change(&proxy, "nets", "10.0.0.1\n");
    assert_eq!(status(&proxy, PLAIN), 404);
}

/// The jail holds none of these files, and its inmates have no right to read them.
#[test]
fn files_out_of_reach_of_workers_are_watched() {
    let setup = with("ACL -filewatch \"{folder}/secret/nets\"")
        .global("User", "\"nobody\"")
        .global("RootJail", "\"{folder}/jail\"");
    fs::create_dir(setup.folder().join("jail")).expect("a directory");
    let secret = setup.folder().join("secret");
    fs::create_dir(&secret).expect("a directory");
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("its mode");
    file(&setup, "secret/nets", "10.0.0.0/8\n");
    let proxy = setup.start();
    assert_eq!(status(&proxy, PLAIN), 404);
    change(&proxy, "secret/nets", "127.0.0.1\n");
    assert_eq!(status(&proxy, PLAIN), 200);
}

/// Where a directory of files is replaced as a whole, what is read is behind two links.
#[test]
fn a_file_behind_links_changes_when_a_link_does() {
    let setup = with("ACL -filewatch \"{folder}/nets\"");
    let folder = setup.folder().to_owned();
    for (version, network) in [("v1", "10.0.0.1\n"), ("v2", "127.0.0.1\n")] {
        fs::create_dir(folder.join(version)).expect("a directory");
        fs::write(folder.join(version).join("nets"), network).expect("a file");
    }
    let link = |to: &str, name: &str| {
        let new = folder.join("link");
        std::os::unix::fs::symlink(to, &new).expect("a link");
        fs::rename(&new, folder.join(name)).expect("a link in the place of another");
    };
    link("v1", "..data");
    link("..data/nets", "nets");
    let proxy = setup.start();
    assert_eq!(status(&proxy, PLAIN), 404);
    let said = proxy.problems().len();
    link("v2", "..data");
    wait(&proxy, said, "nets has changed: its new contents are in use");
    assert_eq!(status(&proxy, PLAIN), 200);
}

/// A text from a file stands wherever its constant does, encoded as is asked; one that may not stand there changes nothing.
#[test]
fn constants_change_without_a_reload() {
    let setup = Setup::new().text("Constant \"who\" -trim -filewatch \"{folder}/who\"").listener(
        "Service\nStringMatch \"%[path] %[const who]\" -exact \"/ask ann b\"\nSuccess\nEnd\n\
         Service\nRedirect \"http://h.example/%[const who url]/%[const who base64]\"\nEnd\n",
    );
    file(&setup, "who", "ann b\n");
    let proxy = setup.start();
    let location = || {
        let answer = proxy.client().ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        answer.fields.get("Location").map(str::to_owned)
    };
    assert_eq!(location().as_deref(), Some("http://h.example/ann%20b/YW5uIGI="));
    assert_eq!(status(&proxy, "GET /ask HTTP/1.1"), 200);
    change(&proxy, "who", "bob \t\n");
    assert_eq!(location().as_deref(), Some("http://h.example/bob/Ym9i"));
    assert_eq!(status(&proxy, "GET /ask HTTP/1.1"), 302);
    let said = proxy.problems().len();
    fs::write(proxy.folder().join("who"), "two\nlines\n").expect("a file");
    wait(&proxy, said, "what was read before stays in use");
    assert_eq!(location().as_deref(), Some("http://h.example/bob/Ym9i"));
}
