//! What `ounce -c` says of things that the configuration's reader cannot judge: each at the place of its directive, in
//! words, all of them in one run.

use ounce_tests::papers::Papers;
use ounce_tests::program;
use std::fs;
use std::process::Command;

/// What the check says of a file, without the program's name and the directory of the papers.
fn told(papers: &Papers, text: &str) -> (bool, Vec<String>) {
    let file = papers.path("ounce.cfg");
    fs::write(&file, text).expect("a file");
    let output = Command::new(program::ounce()).arg("-c").arg("-f").arg(&file).output().expect("the program");
    let folder = papers.path("").display().to_string();
    let said = String::from_utf8_lossy(&output.stderr).replace(&folder, "");
    let lines = said.lines().map(|line| line.strip_prefix("ounce: ").unwrap_or(line).to_owned());
    (output.status.success(), lines.collect())
}

/// A line without the library's own words, which follow in brackets and change with its version.
fn in_our_words(line: &str) -> String {
    line.split(" (").next().unwrap_or(line).to_owned()
}

fn join(papers: &Papers, parts: &[&str], into: &str) {
    let text: Vec<String> =
        parts.iter().map(|part| fs::read_to_string(papers.path(part)).expect("a file")).collect();
    fs::write(papers.path(into), text.concat()).expect("a file");
}

#[test]
fn all_that_is_wrong_with_files_is_told_at_its_directive() {
    let papers = Papers::new();
    join(&papers, &["a.crt", "b.key"], "mixed.pem");
    papers.openssl(&["rsa", "-aes128", "-passout", "pass:x"], &["-in", "a.key", "-out", "sealed.key"]);
    join(&papers, &["a.crt", "sealed.key"], "sealed.pem");
    fs::write(papers.path("text.pem"), "hello\n").expect("a file");
    let damaged = fs::read_to_string(papers.path("a.crt")).expect("a file").replacen("MII", "!!!", 1);
    fs::write(papers.path("damaged.pem"), damaged).expect("a file");
    let text = r#"User "no-such-user"
Group "no-such-group"
RootJail "/no/such"
ListenHTTPS
    Address 127.0.0.1
    Port 4433
    Cert "mixed.pem"
    Cert "a.crt"
    Cert "sealed.pem"
    Cert "text.pem"
    Cert "damaged.pem"
    Cert "b.crt"
    Key "a.key"
    OCSP "text.pem"
    Ciphers "NO-SUCH"
    Groups "no-such:P-256"
    CAlist "text.pem"
    VerifyList "a.key"
    CRLlist "a.crt"
    Service
        Backend "shared"
        End
    End
    Service
        Backend
            Address 127.0.0.1
            Port 1
            HTTPS
            Cert "mixed.pem"
            Ciphers "NONE-AT-ALL"
            VerifyPeer yes
            ServerName "x"
            VerifyList "text.pem"
            CRLlist "text.pem"
        End
        Backend "shared"
        End
    End
End
Backend "shared"
    Address 127.0.0.1
    Port 2
    HTTPS
    Cert "a.crt"
End
"#;
    let (passed, lines) = told(&papers, text);
    assert!(!passed);
    let groups = lines.iter().find(|line| line.contains("Groups: ")).expect("a line about groups");
    assert!(groups.contains("ounce.cfg:16.12-26: Groups: no-such is not known to OpenSSL "), "{groups}");
    let ours: Vec<String> =
        lines.iter().filter(|line| *line != groups).map(|line| in_our_words(line)).collect();
    let none = "the library knows none of these ciphers, or takes none of them for safe";
    let expected = [
        r#"1.6-19: User: no user "no-such-user""#.to_owned(),
        r#"2.7-21: Group: no group "no-such-group""#.to_owned(),
        r#"3.10-19: RootJail "/no/such" is no directory"#.to_owned(),
        "7.10-20: mixed.pem: the key in it is not the certificate's".to_owned(),
        "8.10-16: a.crt: there is no key of a kind that the library knows in it".to_owned(),
        "9.10-21: sealed.pem: the key is encrypted, and nobody is there to be asked for its password"
            .to_owned(),
        "10.10-19: text.pem: there is no certificate in it".to_owned(),
        "11.10-22: damaged.pem: it is damaged".to_owned(),
        "13.9-15: b.crt: the key in a.key is not its own".to_owned(),
        "14.10-19: text.pem: no OCSP response in DER".to_owned(),
        format!(r#"15.13-21: Ciphers "NO-SUCH": {none}"#),
        "17.12-21: text.pem: there is no certificate in it".to_owned(),
        "18.16-22: a.key: there is no certificate in it".to_owned(),
        "19.13-19: a.crt: there is no list of revoked certificates in it".to_owned(),
        "29.18-28: mixed.pem: the key in it is not the certificate's".to_owned(),
        format!(r#"30.21-33: Ciphers "NONE-AT-ALL": {none}"#),
        "33.24-33: text.pem: there is neither a certificate nor a list of revoked ones in it".to_owned(),
        "34.21-30: text.pem: there is nothing of the kind in it".to_owned(),
        "44.10-16: a.crt: there is no key of a kind that the library knows in it".to_owned(),
    ];
    let expected: Vec<String> = expected.iter().map(|line| format!("ounce.cfg:{line}")).collect();
    assert_eq!(ours, expected, "{lines:#?}");
    // The library's own words are there for who wants to look them up.
    assert!(lines.iter().any(|line| line.ends_with("(no cipher match)")), "{lines:#?}");
}

/// One that is past, too, is told of at its line; the configuration loads.
#[test]
fn certificates_that_are_past_are_told_of_at_their_line() {
    let papers = Papers::new();
    papers.signed("past", "DNS:past.test", &["-days", "-1"]);
    let text = "ListenHTTPS\nAddress 127.0.0.1\nPort 4433\nCert \"a.pem\"\nCert \"past.pem\"\nService\nSuccess\nEnd\nEnd\n";
    let (passed, lines) = told(&papers, text);
    assert!(passed, "{lines:?}");
    let expected = "ounce.cfg:5.6-15: warning: past.pem: the certificate has expired on ";
    assert!(lines.len() == 1 && lines[0].starts_with(expected), "{lines:?}");
}
