//! What the code around it promises.

use std::fmt::Write;

use async_graphql::{parser::parse_query, value};

use super::*;

fn cost_with(text: &str, variables: Value, limits: &Limits) -> Result<Cost, LimitError> {
    scan(text, limits)?;
    let document = parse_query(text).unwrap();
    let (_, operation) = document.operations.iter().next().unwrap();
    measure(
        &document,
        &operation.node,
        &Variables::from_value(variables),
        limits,
    )
}

fn cost(text: &str) -> Result<Cost, LimitError> {
    cost_with(text, value!({}), &Limits::default())
}

fn exceeded(text: &str) -> &'static str {
    match cost(text) {
        Err(LimitError::Exceeded { limit, .. }) => limit,
        other => panic!("{other:?}"),
    }
}

fn nodes(text: &str) -> u64 {
    cost(text).unwrap().nodes
}

#[test]
fn exponential_fragments_are_refused() {
    let mut text = "{ ...F0 } fragment F24 on Query { id }".to_owned();
    for n in 0..24 {
        write!(text, " fragment F{n} on Query {{ ...F{m} ...F{m} }}", m = n + 1).unwrap();
    }
    assert_eq!(exceeded(&text), "fields");
    // Also where nothing spreads them, or only an operation that is not executed.
    assert_eq!(exceeded(&text.replace("{ ...F0 }", "{ id }")), "fields");
    assert_eq!(
        exceeded(&text.replace("{ ...F0 }", "query A { id } query B { ...F0 }")),
        "fields"
    );
}

#[test]
fn fragments_that_contain_themselves_are_refused() {
    let itself = cost("{ ...A } fragment A on Query { viewer { ...A } }").unwrap_err();
    assert_eq!(itself, LimitError::Cycle(Name::new("A")));
    let each_other = "{ ...A } fragment A on Q { ...B } fragment B on Q { ... { ...A } }";
    assert!(matches!(cost(each_other), Err(LimitError::Cycle(_))));
    assert!(matches!(
        cost("{ id } fragment A on Q { ...A }"),
        Err(LimitError::Cycle(_))
    ));
}

#[test]
fn floods_are_refused() {
    let many = |what: &str, n: usize| what.repeat(n);
    assert_eq!(
        exceeded(&format!("{{ viewer {{ {} }} }}", many("a: id ", 51))),
        "aliases"
    );
    assert_eq!(
        exceeded(&format!("{{ a {} }}", many("@skip(if: true) ", 6))),
        "directives in one place"
    );
    assert_eq!(
        exceeded(&format!("{{ {} }}", many("a @skip(if: true) ", 51))),
        "directives"
    );
    assert_eq!(
        exceeded(&format!("{{ v {{ {} }} }}", many("a { b } ", 21))),
        "repetitions of a field"
    );
    assert_eq!(exceeded(&format!("{{ {} }}", many("a ", 21))), "root fields");
    assert_eq!(
        exceeded(&format!("mutation {{ {} }}", many("a ", 11))),
        "root fields"
    );
    assert_eq!(
        exceeded(&format!("{{ v {{ {} }} }}", many("a ", 1_000))),
        "fields"
    );
    assert_eq!(exceeded(&format!("{{ {} }}", many("a ", 5_000))), "tokens");
    assert_eq!(exceeded(&format!("{{ a }} # {}", many("x", 64 * 1024))), "bytes");
    assert_eq!(
        exceeded(&format!("{{ a(ids: [{}]) }}", many("1 ", 101))),
        "items in a list"
    );
    let fragments = (0..101).fold("{ a }".to_owned(), |text, n| {
        format!("{text} fragment F{n} on Q {{ a }}")
    });
    assert_eq!(exceeded(&fragments), "fragments");
    assert_eq!(
        exceeded("{ ...A ...A } fragment A on Q { a @a @a @a @a @a @a }"),
        "directives in one place"
    );
}

#[test]
fn nesting_is_refused_before_and_after_the_parser() {
    let deep = |n: usize| format!("{}a{}", "{ a ".repeat(n), "}".repeat(n));
    assert!(cost(&deep(12)).is_ok());
    assert_eq!(exceeded(&deep(13)), "levels");
    assert_eq!(exceeded(&deep(40)), "nested selections");
    assert_eq!(exceeded(&deep(100_000)[..60_000]), "open brackets");
    assert_eq!(
        exceeded(&format!("{{ a(x: {}", "[".repeat(60_000))),
        "open brackets"
    );
    assert_eq!(
        exceeded(&format!("query($a: {}", "[".repeat(60_000))),
        "open brackets"
    );
    let values = format!("{{ a(x: {}{}) }}", "[".repeat(25), "]".repeat(25));
    assert_eq!(exceeded(&values), "nested values");
    let chain = (0..40).fold("{ ...F0 } fragment F40 on Q { a }".to_owned(), |text, n| {
        format!("{text} fragment F{n} on Q {{ ...F{} }}", n + 1)
    });
    assert_eq!(exceeded(&chain), "nested selections");
    // The parser itself bears what the scan lets through.
    for open in ["{ a ", "[", "{ a: "] {
        let text = match open {
            "{ a " => open.repeat(63),
            _ => format!("{{ a(x: {}", open.repeat(61)),
        };
        scan(&text, &Limits::default()).unwrap();
        assert!(parse_query(&text).is_err());
    }
}

#[test]
fn brackets_in_strings_and_comments_do_not_count_and_none_can_hide() {
    let inside = "[".repeat(100);
    for text in [
        format!(r#"{{ a(x: "{inside}") }}"#),
        format!(r#"{{ a(x: "\"{inside}") }}"#),
        format!(r#"{{ a(x: """{inside} \""" " {inside}""") }}"#),
        format!("{{ a # {inside} \" \n }}"),
    ] {
        scan(&text, &Limits::default()).unwrap();
        parse_query(&text).unwrap();
    }
    for text in [
        format!(r#"{{ a(x: """ [ " {inside}"#),
        format!("{{ a(x: \" \n {inside}"),
        format!(r#"{{ a(x: "\" {inside}"#),
    ] {
        let refused = scan(&text, &Limits::default()).unwrap_err();
        assert_eq!(refused, LimitError::Unterminated, "{text}");
    }
    assert_eq!(exceeded(&format!(r#"{{ a(x: "" {inside}"#)), "open brackets");
    assert_eq!(exceeded(&format!("{{ a # x \r {inside}")), "open brackets");
}

#[test]
fn pages_multiply_down() {
    assert_eq!(nodes("{ contact(id: 1) { id } }"), 0);
    assert_eq!(nodes("{ contacts(first: 10) { nodes { id } } }"), 10);
    assert_eq!(nodes("{ contacts { edges { node { id } } } }"), 50);
    assert_eq!(
        nodes("{ contacts { ...C } } fragment C on X { ... { edges { cursor } } }"),
        50
    );
    assert_eq!(
        nodes("{ a(first: 10) { nodes { b(last: 5) { nodes { id } } } } }"),
        10 * (1 + 5)
    );
    assert_eq!(
        nodes("{ nodes(ids: [1, 2, 3]) { ... on C { b(first: 2) { nodes { id } } } } }"),
        9
    );
    assert_eq!(
        exceeded("{ a(first:100) { nodes { b(first:100) { nodes { c(first:3) { nodes { id }}}}}}}"),
        "nodes"
    );
    assert_eq!(
        cost("{ a(first: 101) { nodes { id } } }"),
        Err(LimitError::Page(100))
    );
    assert_eq!(cost("{ a(first: 50) { nodes { id } } }").unwrap().points, 6);
    assert_eq!(
        cost("mutation { a(input: {}) { contact { id } } b }")
            .unwrap()
            .points,
        11
    );
}

#[test]
fn pages_in_variables_count() {
    let text = "query($n: Int = 7, $ids: [ID!]) { a(first: $n) { nodes { id } } nodes(ids: $ids) { id } }";
    let nodes = |variables| cost_with(text, variables, &Limits::default()).map(|cost| cost.nodes);
    assert_eq!(nodes(value!({})), Ok(7));
    assert_eq!(nodes(value!({ "n": 9, "ids": ["1", "2"] })), Ok(11));
    assert_eq!(nodes(value!({ "n": 1000 })), Err(LimitError::Page(100)));
    let many = Value::List(vec![Value::Null; 101]);
    let refused = nodes(Value::Object([(Name::new("ids"), many)].into_iter().collect()));
    assert_eq!(
        refused,
        Err(LimitError::Exceeded {
            limit: "items in a list",
            maximum: 100
        })
    );
    let deep = (0..30).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    let refused = nodes(Value::Object([(Name::new("x"), deep)].into_iter().collect()));
    assert_eq!(
        refused,
        Err(LimitError::Exceeded {
            limit: "nested values",
            maximum: 20
        })
    );
}

#[test]
fn variables_inside_a_literal_are_noticed() {
    let mixed = |text| cost(text).unwrap().mixed;
    assert!(!mixed("query($a: X) { a(input: $a) }"));
    assert!(!mixed("{ a(input: {a: 1, b: null}, c: null) }"));
    assert!(mixed("query($a: X) { a(input: {a: $a}) }"));
    assert!(mixed("query($a: X) { a @x(b: [$a]) }"));
}

#[test]
fn introspection_is_shown_only_where_it_may_be() {
    assert!(cost("{ __typename a { __typename } }").is_ok());
    assert_eq!(
        cost("{ __schema { queryType { name } } }"),
        Err(LimitError::Introspection)
    );
    assert_eq!(
        cost("{ a: __type(name: 1) { name } }"),
        Err(LimitError::Introspection)
    );
    let hidden = "query A { b } query B { ...F } fragment F on Q { __schema { queryType { name } } }";
    assert_eq!(cost(hidden), Err(LimitError::Introspection));
    let limits = Limits {
        introspection: true,
        ..Limits::default()
    };
    let usual = format!(
        "{{ __schema {{ types {{ fields {{ args {{ type {} }} }} }} }} }}",
        { format!("{{ name {} {} }}", "ofType { name ".repeat(9), "}".repeat(9)) }
    );
    assert!(cost_with(&usual, value!({}), &limits).is_ok());
    let circular = "{ __schema { types { fields { type { fields { type { fields { name }}}}}}}}";
    assert!(cost_with(circular, value!({}), &limits).is_err());
}

#[test]
fn a_refusal_names_the_limit() {
    let refusal = Refusal::from(cost(&format!("{{ {} }}", "a ".repeat(21))).unwrap_err());
    assert_eq!(refusal.code(), Code::QueryTooComplex);
    assert!(format!("{refusal:?}").contains("root fields"));
}
