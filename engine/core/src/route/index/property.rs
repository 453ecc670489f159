//! Whatever a configuration says and a request asks, the index finds the service that a search in order finds.

use super::Services;
use crate::route::captures::Captures;
use crate::route::compile::compile;
use crate::route::matcher::select;
use crate::route::plan::{Plan, ServiceIx};
use crate::route::sample::{Rows, Sample, config, listener, redirect, server, service};
use ounce_conf::model::{
    Condition, Config, Feed, FeedKind, FeedName, Flavour, Kind, NamedCondition, Networks, Pattern, Service,
};
use proptest::prelude::*;
use std::sync::Arc;

/// Texts that are also expressions, so short that they often match.
const TEXTS: &[&str] =
    &["", "/", "/a", "/b", "a", "b", "ab", "/ab/", "/a/b", ".b", "b$", "^/a", "a?c", "A", "/B"];

/// Expressions, and some that only look like one.
const EXPRESSIONS: &[&str] = &[
    "^/a",
    "^/(a|ab)(c|b)",
    "b$",
    "^/[^/]*$",
    "^/a.*b$",
    "(a)(b)?",
    "^$",
    "a|^b",
    ".*",
    "^/a(/.*)?$",
    "x*",
    "^(.*)a",
    "a+",
    "^/ab",
    "^/a$",
    "[ab]c",
    "\\bb",
];

const TARGETS: &[&str] = &[
    "/",
    "/a",
    "/b",
    "/ab",
    "/ab/",
    "/a/b",
    "/a/b/c",
    "/abc",
    "/A",
    "/B/a",
    "/a?a=b",
    "/b?b=a&a=ab",
    "/?a",
    "/c%61",
    "/a%2fb?c=%61",
];

const HOSTS: &[&str] = &["a", "b", "ab", "a:80", "A:8080", "b.a", "a.b"];

fn pattern(texts: &'static [&'static str], decode: bool) -> impl Strategy<Value = Pattern> {
    let kind = prop_oneof![
        Just(Kind::Exact),
        Just(Kind::Prefix),
        Just(Kind::Suffix),
        Just(Kind::Contain),
        Just(Kind::Regex(Flavour::Posix)),
        Just(Kind::Regex(Flavour::Pcre)),
    ];
    (kind, prop::sample::select(texts), prop::sample::select(EXPRESSIONS), any::<bool>(), any::<bool>())
        .prop_map(move |(kind, text, expression, ignore_case, decoded)| Pattern {
            kind,
            text: if matches!(kind, Kind::Regex(_)) { expression } else { text }.to_owned(),
            ignore_case,
            tag: None,
            decode: decode && decoded,
        })
}

fn leaf() -> BoxedStrategy<Condition> {
    let host = (pattern(HOSTS, false), any::<bool>()).prop_map(|(mut pattern, exact)| {
        if exact && !matches!(pattern.kind, Kind::Regex(_)) {
            (pattern.kind, pattern.ignore_case) = (Kind::Exact, true);
        }
        Condition::Host(pattern)
    });
    let name = || prop::sample::select(&["a", "b"][..]).prop_map(str::to_owned);
    prop_oneof![
        4 => host,
        2 => pattern(TEXTS, false).prop_map(Condition::Url),
        6 => pattern(TEXTS, true).prop_map(Condition::Path),
        1 => pattern(TEXTS, false).prop_map(Condition::Query),
        1 => (name(), pattern(TEXTS, true)).prop_map(|(name, pattern)| Condition::QueryParam { name, pattern }),
        1 => pattern(&["Host: a", "X: b", "b", "x: "], false).prop_map(Condition::HeaderLine),
        1 => (name(), pattern(TEXTS, false)).prop_map(|(name, pattern)| {
            Condition::HeaderValue { name: format!("x-{name}"), pattern }
        }),
        1 => pattern(&["GET", "POST", "G"], false).prop_map(Condition::Method),
        // `$1` is at fault when nothing matched before it.
        1 => (prop::sample::select(&["$1", "%[host]", "%[path]x"][..]), pattern(TEXTS, false)).prop_map(
            |(subject, pattern)| Condition::StringMatch { subject: subject.to_owned(), pattern },
        ),
        1 => (0..2_usize).prop_map(|index| Condition::BasicAuth(FeedName { index, path: "users".into() })),
        1 => (0..4_usize).prop_map(|index| Condition::Eval { name: index.to_string(), index }),
        1 => prop::sample::select(&["192.0.2.0/24", "10.0.0.0/8"][..])
            .prop_map(|network| Condition::Acl(Networks::Listed(vec![network.parse().expect("a network")]))),
    ]
    .boxed()
}

fn condition() -> impl Strategy<Value = Condition> {
    leaf().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(Condition::All),
            2 => prop::collection::vec(inner.clone(), 0..4).prop_map(Condition::Any),
            1 => inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

fn one_service() -> impl Strategy<Value = Service> {
    (prop::collection::vec(condition(), 1..4), 0..6_u32, any::<bool>()).prop_map(
        |(conditions, kind, refers)| {
            let backend = if refers { redirect("http://x/$1") } else { server("10.0.0.1:80", 5) };
            let mut service = service(None, conditions, vec![backend]);
            service.fall_through = kind == 0;
            service
        },
    )
}

fn a_config() -> impl Strategy<Value = Config> {
    // A named condition may refer to those before it.
    let named = prop::collection::vec(condition(), 4).prop_map(|conditions| {
        let named = conditions.into_iter().enumerate().map(|(number, condition)| NamedCondition {
            name: number.to_string(),
            condition: earlier(condition, number),
        });
        named.collect::<Vec<_>>()
    });
    let services = || prop::collection::vec(one_service(), 0..70);
    (named, services(), services()).prop_map(|(named, own, global)| {
        let mut config = config(vec![listener("127.0.0.1:80", own)], global);
        config.conditions = named;
        let users = |number: u32| Feed {
            path: format!("users {number}").into(),
            kind: FeedKind::Users,
            watched: true,
            bytes: b"a:b".to_vec(),
        };
        config.feeds = vec![users(0), users(1)];
        config
    })
}

fn earlier(condition: Condition, number: usize) -> Condition {
    let each = |list: Vec<Condition>| list.into_iter().map(|one| earlier(one, number)).collect();
    match condition {
        Condition::All(all) => Condition::All(each(all)),
        Condition::Any(any) => Condition::Any(each(any)),
        Condition::Not(inner) => Condition::Not(Box::new(earlier(*inner, number))),
        Condition::Eval { index, .. } if index >= number => Condition::Any(Vec::new()),
        other => other,
    }
}

/// What came of a request: the service, what was captured, what was at fault, and for whose passwords it was asked.
fn outcome(plan: &Plan, sample: &Sample, off: u32) -> (Option<ServiceIx>, Vec<Option<Vec<u8>>>, String) {
    let mut captures = Captures::new();
    let mut asked = Vec::new();
    let found = loop {
        let found = select(plan, 0, &sample.request(), &|row| row % 7 == off, &mut captures);
        let Some(question) = captures.question.take() else { break found };
        asked.push(question.feed);
        captures.verdict(question.feed, (question.feed + off).is_multiple_of(2));
    };
    let groups = (0..8).flat_map(|depth| (0..3).map(move |group| (depth, group)));
    let groups = groups.map(|(depth, group)| captures.group(depth, group).map(<[u8]>::to_vec)).collect();
    (found, groups, format!("{:?} {:?} {asked:?}", captures.fault, captures.passed))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_a_search_finds(
        config in a_config(),
        off in 0..9_u32,
    ) {
        let indexed = compile(&config, &mut Rows::default()).expect("a configuration that compiles");
        let mut searched = compile(&config, &mut Rows::default()).expect("the same");
        for listener in &mut searched.listeners {
            let plain = |services: &Services| Services { list: services.list.clone(), index: None };
            (listener.own, listener.global) = (plain(&listener.own), Arc::new(plain(&listener.global)));
        }
        for (number, target) in TARGETS.iter().enumerate() {
            for host in [HOSTS[number % HOSTS.len()], HOSTS[(number * 3 + 1) % HOSTS.len()]] {
                let lines = [format!("Host: {host}"), "x-a: /a".to_owned(), "X-A: ab".to_owned(), "X: b ".to_owned()];
                // `a:b`, on every other request.
                let credentials = number.is_multiple_of(2).then(|| "Authorization: Basic YTpi".to_owned());
                let lines: Vec<String> = lines.into_iter().chain(credentials).collect();
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                let sample = Sample::get(target, &lines);
                prop_assert_eq!(outcome(&indexed, &sample, off), outcome(&searched, &sample, off), "{} {}", host, target);
            }
        }
    }
}
