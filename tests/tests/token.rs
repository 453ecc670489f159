//! Keys in a token of PKCS#11: two workers serve with them, over reloads and deaths, and what is wrong is told beforehand.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ounce_tests::origin::Origin;
use ounce_tests::proxy::{Proxy, Setup, service};
use ounce_tests::token::{PIN, Token};
use ounce_tests::tool;
use std::fs;
use std::path::Path;
use std::process::Output;

/// The engine, with its module and PIN.
fn engine() -> String {
    format!(
        "SSLEngine \"pkcs11\"\nPreCommand \"MODULE_PATH\" \"{}\"\nPreCommand \"PIN\" \"{PIN}\"\nEnd\n",
        Token::module().display()
    )
}

fn certificate(folder: &Path, name: &str, key: &str) -> String {
    format!(
        "Cert \"{}\"\nKey \"pkcs11:token=ounce;object={key};type=private\"\n",
        folder.join(format!("{name}.crt")).display()
    )
}

/// A configuration with an HTTPS listener that has these certificates.
fn setup(token: &Token, engine: &str, certificates: &str, inside: &str) -> Setup {
    let listener =
        format!("{engine}ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{certificates}{inside}End\n");
    let configuration = token.configuration();
    Setup::new().environment("SOFTHSM2_CONF", configuration.to_str().expect("text")).text(&listener)
}

/// So many handshakes, one after the other, each with a request.
fn requests(proxy: &Proxy, count: u32, words: &[&str]) -> Output {
    let url = format!("https://{}/?[1-{count}]", proxy.address());
    let fixed = ["-sSk", "--max-time", "60", "-H", "Connection: close", "--no-sessionid", &url];
    tool::run("curl", [&fixed, words].concat())
}

fn check(setup: Setup) -> (Option<i32>, String) {
    let output = setup.arguments(&["-c"]).command().output().expect("the program");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Both kinds of keys sign for both versions of TLS, with any worker, after a reload, and after deaths.
#[test]
fn keys_in_a_token_serve_over_reloads_and_deaths() {
    let token = Token::new();
    let origin = Origin::echo();
    let certificates = certificate(token.folder(), "rsa", "rsa") + &certificate(token.folder(), "ec", "ec");
    let proxy = setup(&token, &engine(), &certificates, &service(&[origin.address()])).start();
    let serves = |when: &str| {
        for version in ["1.2", "1.3"] {
            let output = requests(&proxy, 16, &["--tls-max", version]);
            let lines = String::from_utf8_lossy(&output.stdout).lines().count();
            assert!(output.status.success() && lines == 16, "{when}, TLS {version}: {output:?}");
        }
    };
    serves("at first");
    proxy.reload().expect("a reload");
    serves("after a reload");
    for worker in proxy.workers() {
        kill(Pid::from_raw(worker), Signal::SIGKILL).expect("a worker to kill");
        proxy.wait_workers(2);
        serves("after a death");
    }
    // The name asked for chooses between the two keys.
    for (name, subject) in [("rsa.test", "rsa.test"), ("ec.test", "ec.test")] {
        let resolve = format!("{name}:{}:127.0.0.1", proxy.address().port());
        let url = format!("https://{name}:{}/", proxy.address().port());
        let output = tool::run("curl", ["-svk", "--max-time", "30", "--resolve", &resolve, &url]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(&format!("subject: CN={subject}")), "{told}");
    }
}

/// What is wrong with module, PIN or key is told by `-c`, with its name.
#[test]
fn faults_of_a_token_are_told_beforehand() {
    let token = Token::new();
    let right = certificate(token.folder(), "ec", "ec");
    assert_eq!(check(setup(&token, &engine(), &right, "")).0, Some(0));
    let module = Token::module().display().to_string();
    for (engine, certificates, told) in [
        (engine(), certificate(token.folder(), "ec", "none"), "Key \"pkcs11:token=ounce;object=none"),
        (engine(), certificate(token.folder(), "ec", "rsa"), "it is not the key of the certificate in"),
        (engine().replace(&module, "/no/such.so"), right.clone(), "Key \"pkcs11:token=ounce;object=ec"),
        (engine().replace(PIN, "9999"), right.clone(), "Key \"pkcs11:token=ounce;object=ec"),
        (engine().replace("MODULE_PATH", "MODULE"), right.clone(), "PreCommand \"MODULE\""),
        ("SSLEngine \"none\"\n".into(), String::new(), "SSLEngine \"none\": it cannot be loaded"),
    ] {
        // A listener needs a certificate.
        let pem = format!("Cert \"{}\"\n", token.path("ec.pem").display());
        let certificates = if certificates.is_empty() { pem } else { certificates };
        let (status, text) = check(setup(&token, &engine, &certificates, ""));
        assert_eq!(status, Some(1), "{told}: {text}");
        assert!(text.contains(told), "{told}: {text}");
        assert!(!text.contains(PIN) && !text.contains("9999"), "a secret is told: {text}");
    }
}

/// A certificate is renewed for the key that is in the token, and for no other; the key is not loaded anew.
#[test]
fn certificates_of_keys_in_a_token_change() {
    let token = Token::new();
    let origin = Origin::echo();
    let place = |name: &str| token.path(name).display().to_string();
    fs::copy(token.path("ec.crt"), token.path("site.crt")).expect("a copy");
    let words = ["req", "-x509", "-new", "-days", "30", "-subj", "/CN=renewed.test"];
    let files = ["-key", &place("ec.pem"), "-out", &place("renewed.crt")];
    assert!(tool::run("openssl", [&words[..], &files].concat()).status.success());
    let certificates = certificate(token.folder(), "site", "ec").replace("Cert ", "Cert -filewatch ");
    let proxy = setup(&token, &engine(), &certificates, &service(&[origin.address()])).start();
    let change = |name: &str, says: &str| {
        let said = proxy.problems().len();
        fs::copy(token.path(name), token.path("new")).expect("a copy");
        fs::rename(token.path("new"), token.path("site.crt")).expect("a file in the place of another");
        let text = format!("site.crt{says}");
        proxy.problems().wait(&text, |all| all[said..].iter().any(|line| line.contains(&text)).then_some(()));
    };
    let shown = || {
        let output = requests(&proxy, 8, &["-v"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).matches("subject: CN=renewed.test").count()
    };
    change("rsa.crt", ": its key is not the one that is used so far");
    assert_eq!(shown(), 0);
    change("renewed.crt", " has changed: its new contents are in use");
    assert_eq!(shown(), 8);
}

/// A reload to a key that is not there changes nothing.
#[test]
fn a_reload_to_a_key_that_is_not_there_is_refused() {
    let token = Token::new();
    let origin = Origin::echo();
    let inside = service(&[origin.address()]);
    let mut proxy = setup(&token, &engine(), &certificate(token.folder(), "ec", "ec"), &inside).start();
    let wrong = certificate(token.folder(), "ec", "none");
    let text = format!("{}ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{wrong}{inside}End\n", engine());
    proxy.setup().set_text(&text);
    let told = proxy.reload().expect_err("a reload that is refused").join("\n");
    assert!(told.contains("object=none"), "{told}");
    assert!(requests(&proxy, 4, &[]).status.success());
}

/// In a jail without the token's files no key signs: that is told at the start, and by `-c`, not to clients.
#[test]
fn a_jail_without_the_token_is_told_at_the_start() {
    let token = Token::new();
    let jail = token.path("jail");
    fs::create_dir(&jail).expect("a directory");
    let certificates = certificate(token.folder(), "ec", "ec");
    let jailed =
        || setup(&token, &engine(), &certificates, "").global("RootJail", &format!("\"{}\"", jail.display()));
    let (status, text) = check(jailed());
    assert_eq!(status, Some(1), "{text}");
    let output = jailed().command().output().expect("the program");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    if nix::unistd::geteuid().is_root() {
        assert!(text.contains("it does not sign") && text.contains("RootJail"), "{text}");
    }
}
