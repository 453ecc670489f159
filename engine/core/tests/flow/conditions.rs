//! Conditions that look further than one part of the request (pound.md sections 4 and 6).

use crate::world::{SECOND, World, config};

const FIRST: &str = "GET /a/b%20c?d=%2Fe&f=1 HTTP/1.1\r\nHost: www.example:81\r\nX-A: x\r\nX-A: y\r\n\r\n";

/// A header that shows what matched, or the status that the client got instead.
fn shown(global: &str, service: &str, request: &str) -> String {
    let mut w = World::new(&format!("{global}\n{}", config("", service, 1)));
    let client = w.client();
    w.say(client, request);
    let answer = w.heard(client);
    if let Some(status) = answer.strip_prefix("HTTP/1.1 ") {
        return status[..3].to_owned();
    }
    let upstream = w.connected();
    let heard = w.heard(upstream);
    let line = heard.lines().find_map(|line| line.strip_prefix("X-Seen: "));
    line.unwrap_or("nothing").to_owned()
}

/// Whether a service with these conditions takes the request.
fn takes(conditions: &str, request: &str) -> bool {
    match shown("", &format!("{conditions}\nSetHeader \"X-Seen: taken\""), request).as_str() {
        "taken" => true,
        "503" => false,
        other => panic!("{conditions}: {other}"),
    }
}

#[test]
fn string_match_compares_an_expanded_text() {
    for (condition, held) in [
        ("StringMatch \"%[host]|%[port]\" \"^www.example\\\\|:81$\"", true),
        ("StringMatch \"%[host]\" -exact \"www.Example\"", false),
        ("StringMatch -exact -icase \"%[host]\" \"www.Example\"", true),
        ("StringMatch \"%[param f]%[header X-A]%[header X-None]\" -exact \"1x\"", true),
        ("Path \"^/(.)/\"\nStringMatch \"$1\" -exact \"a\"", true),
        ("Path \"^/(.)/\"\nNot StringMatch \"$1\" -exact \"a\"", false),
        ("StringMatch \"%[remoteip]\" -beg \"192.0.2.\"", true),
    ] {
        assert_eq!(takes(condition, FIRST), held, "{condition}");
    }
}

/// What a text matched can be referred to like any match.
#[test]
fn string_match_leaves_its_groups() {
    let service = "StringMatch \"%[host]-%[param f]\" \"(.)-(.)\"\nSetHeader \"X-Seen: $2$1\"";
    assert_eq!(shown("", service, FIRST), "1e");
}

/// A text that cannot be expanded is an error of the configuration, and never simply false.
#[test]
fn a_text_that_cannot_be_expanded_is_500() {
    for conditions in ["StringMatch \"ab$3\" \"x\"", "Not StringMatch \"ab$3\" \"x\""] {
        let text = format!("{conditions}\nBackEnd\nAddress 10.1.0.9\nPort 1\nEnd\nEnd\nService");
        let mut w = World::new(&config("", &text, 1));
        let client = w.client();
        w.say(client, FIRST);
        w.no_connect();
        assert!(w.heard(client).starts_with("HTTP/1.1 500 "));
        let problem = w.problems();
        assert!(problem.contains("e500") && problem.contains("no such group at byte 3"), "{problem}");
    }
    let rule = "Rewrite\nNot StringMatch \"$1\" \"x\"\nSetHeader \"X-Seen: yes\"\nEnd";
    let mut w = World::new(&config("", rule, 1));
    let client = w.client();
    w.say(client, FIRST);
    assert!({
        w.connected();
        w.heard(client).starts_with("HTTP/1.1 500 ")
    });
    // The next request on another connection is not affected.
    let service =
        "Path \"^/(x)?\"\nRewrite\nStringMatch \"<$1>\" -exact \"<>\"\nSetHeader \"X-Seen: yes\"\nEnd";
    assert_eq!(shown("", service, FIRST), "yes");
}

#[test]
fn tags_name_matches() {
    let service = "Host -re -tag host \"^([a-z]+)\"\nPath -tag path \"^/(.)/(.)\"\nHeader \"X-A\" \"(.)\"\n\
                   SetHeader \"X-Seen: $1(host) $2(path)$1(path) ${1(host)}$1(2)\"";
    assert_eq!(shown("", service, FIRST), "www ba wwwwww");
    let line = "Header -tag line \"^X-A: (y)\"\nPath \"^/\"\nSetHeader \"X-Seen: $1(line)\"";
    assert_eq!(shown("", line, FIRST), "y");
    let unknown = "Path \"^/\"\nSetHeader \"X-Seen: $0(none)\"";
    let mut w = World::new(&config("", unknown, 1));
    let client = w.client();
    w.say(client, FIRST);
    w.connected();
    assert!(w.heard(client).starts_with("HTTP/1.1 500 "));
}

#[test]
fn paths_and_parameters_are_compared_decoded_on_demand() {
    assert!(!takes("Path \"b c$\"", FIRST));
    assert!(takes("Path -decode \"b c$\"", FIRST));
    assert!(takes("Path -decode -exact \"/a/b c\"", FIRST));
    assert!(takes("QueryParam \"d\" -decode -exact \"/e\"", FIRST));
    assert!(!takes("QueryParam \"d\" -exact \"/e\"", FIRST));
    let service = "Path -decode \"^/a/(.*)\"\nSetHeader \"X-Seen: <$1>\"";
    assert_eq!(shown("", service, FIRST), "<b c>");
    // What decoding brings to light ends no line.
    let split = "GET /a/b%0d%0aX-Evil:%20c%zz HTTP/1.1\r\nHost: h\r\n\r\n".replace("%zz", "%25");
    assert_eq!(shown("", service, &split), "<b  X-Evil: c%>");
}

#[test]
fn named_conditions() {
    let global = "Condition \"a\"\nPath \"^/a/\"\nHost -beg \"www.\"\nEnd\n\
                  Condition \"b\" or\nPath \"^/b/\"\nEval \"a\"\nEnd\n\
                  Condition \"never\" or\nEnd";
    for (condition, held) in [
        ("Eval \"a\"", true),
        ("Eval \"b\"", true),
        ("Eval \"never\"", false),
        ("Not Eval \"a\"", false),
        ("Match or\nEval \"never\"\nEval \"b\"\nEnd", true),
    ] {
        let service = format!("{condition}\nSetHeader \"X-Seen: taken\"");
        assert_eq!(shown(global, &service, FIRST) == "taken", held, "{condition}");
    }
}

/// What matched in a named condition stays there, and nothing from outside reaches in.
#[test]
fn named_conditions_have_matches_of_their_own() {
    let global = "Condition \"own\"\nHost -re \"(e)x\"\nStringMatch \"$1\" -exact \"e\"\nEnd";
    let service = "Path \"^/(a)\"\nEval \"own\"\nSetHeader \"X-Seen: $1\"";
    assert_eq!(shown(global, service, FIRST), "a");
    let outer = "Condition \"outer\"\nStringMatch \"$1\" \"a\"\nEnd";
    assert_eq!(shown(outer, "Path \"^/(a)\"\nEval \"outer\"", FIRST), "500");
}

/// It is asked once for each request: rules that change the request later do not change what it said.
#[test]
fn named_conditions_are_evaluated_once() {
    let global = "Condition \"a\"\nPath \"^/a/\"\nEnd";
    let service = "Eval \"a\"\nSetPath \"/other\"\nRewrite\nEval \"a\"\nNot Path \"^/a/\"\nSetHeader \"X-Seen: still\"\nEnd";
    assert_eq!(shown(global, service, FIRST), "still");
    let mut w = World::new(&format!("{global}\n{}", config("", "Eval \"a\"", 1)));
    let client = w.client();
    w.say(client, FIRST);
    let upstream = w.connected();
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(w.heard(client).starts_with("HTTP/1.1 200 "));
    w.say(client, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(w.heard(client).starts_with("HTTP/1.1 503 "), "the next request is asked anew");
}

/// Tokens come by the clock of the events, to each key its own.
#[test]
fn tokens_come_by_the_clock() {
    let services = "TBF \"%[header X-Key]\" 1/10s 2\nError 404\nEnd\nService\nError 403\nEnd\nService";
    let mut w = World::new(&config("", services, 1));
    let statuses = |w: &mut World, key: &str, count: usize| -> Vec<String> {
        let status = |_| {
            let client = w.client();
            w.say(client, format!("GET / HTTP/1.1\r\nHost: h\r\nX-Key: {key}\r\n\r\n"));
            w.heard(client)[9..12].to_owned()
        };
        (0..count).map(status).collect()
    };
    assert_eq!(statuses(&mut w, "a", 3), ["404", "404", "403"]);
    assert_eq!(statuses(&mut w, "b", 1), ["404"]);
    w.wait(10 * SECOND);
    assert_eq!(statuses(&mut w, "a", 2), ["404", "403"]);
    w.wait(1000 * SECOND);
    assert_eq!(statuses(&mut w, "a", 3), ["404", "404", "403"]);
}
