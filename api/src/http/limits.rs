//! What a document may cost: bounds that are checked before async-graphql sees it, and the price of an operation.
//!
//! async-graphql walks fragment spreads without remembering what it has seen: 24 fragments that each spread the
//! next one twice keep it busy for seconds, in its own depth check, before any hook. So [`scan`] bounds the text
//! before it is parsed (the parser recurses on brackets), and [`measure`] bounds the parsed document, visiting
//! every definition once and adding up with saturation.

use std::{
    collections::{HashMap, hash_map::Entry},
    convert::Infallible,
};

use async_graphql::{
    Name, Positioned, Value, Variables,
    parser::types::{
        Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
    },
};

use super::negotiate::{Code, Refusal};

/// The bounds. "Expanded" counts a fragment each time it is spread.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Bytes of a document.
    pub(crate) bytes: usize,
    /// Tokens of a document.
    pub(crate) tokens: usize,
    /// Brackets of any kind open at once in the text; keeps the recursive parser away from the end of its stack.
    pub(crate) brackets: usize,
    /// Fields inside fields, expanded.
    pub(crate) depth: usize,
    /// The same, with each fragment counted as a level. async-graphql's own check refuses more than 32.
    pub(crate) nesting: usize,
    /// Fields, expanded.
    pub(crate) fields: usize,
    /// Aliases, expanded.
    pub(crate) aliases: usize,
    /// Times that one selection takes the same field (if it has arguments or a selection), expanded.
    pub(crate) repeats: usize,
    /// Fragments of a document.
    pub(crate) fragments: usize,
    /// Operations of a document.
    pub(crate) operations: usize,
    /// Variables of an operation.
    pub(crate) variables: usize,
    /// Directives of a document.
    pub(crate) directives: usize,
    /// Directives of one field, fragment, operation or variable.
    pub(crate) directives_per_node: usize,
    /// Root fields of a query.
    pub(crate) query_fields: usize,
    /// Root fields of a mutation.
    pub(crate) mutation_fields: usize,
    /// Items of a list in an argument or a variable.
    pub(crate) list_items: usize,
    /// Lists and objects inside each other in an argument or a variable.
    pub(crate) value_depth: usize,
    /// What `first` and `last` may ask for.
    pub(crate) page: usize,
    /// The length of a page when neither is given.
    pub(crate) default_page: usize,
    /// Nodes that an operation can return: pages multiplied down.
    pub(crate) nodes: usize,
    /// Whether `__schema` and `__type` are answered (development).
    pub(crate) introspection: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            tokens: 5_000,
            brackets: 64,
            depth: 12,
            nesting: 30,
            fields: 1_000,
            aliases: 50,
            repeats: 20,
            fragments: 100,
            operations: 20,
            variables: 100,
            directives: 50,
            directives_per_node: 5,
            query_fields: 20,
            mutation_fields: 10,
            list_items: 100,
            value_depth: 20,
            page: 100,
            default_page: 50,
            nodes: 20_000,
            introspection: false,
        }
    }
}

/// Depth of an introspection query, where it is allowed: the usual one unwraps nine types inside a field's argument.
const INTROSPECTION_DEPTH: usize = 20;
/// Lists inside lists in an introspection query: `fields { type { fields … } }` multiplies with each.
const INTROSPECTION_LISTS: usize = 2;
/// Points that a write costs, beside the nodes that it returns.
const WRITE: u64 = 5;
/// Points that counting a whole list or filtering one costs: the size of a page says nothing of that work.
const SEARCH: u64 = 10;

/// The price of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// What is taken from the viewer's budget: 1, and 1 for every ten nodes, and 5 for every mutation field.
    pub(crate) points: u32,
    /// The most nodes that it can return.
    pub(crate) nodes: u64,
    /// Its fields, expanded.
    pub(crate) fields: u64,
    /// Whether an argument is a list or an object with variables inside.
    pub(crate) mixed: bool,
}

/// Why a document is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitError {
    /// A bound is passed.
    #[error("the query is too complex: more than {maximum} {limit}")]
    Exceeded {
        /// Which.
        limit: &'static str,
        /// What is allowed.
        maximum: usize,
    },
    /// `first` or `last` asks for too much.
    #[error("`first` and `last` are at most {0}")]
    Page(usize),
    /// A fragment spreads itself.
    #[error("the fragment `{0}` contains itself")]
    Cycle(Name),
    /// The schema is not shown.
    #[error("introspection is disabled")]
    Introspection,
    /// A string that does not end: the parser would look inside it for something else.
    #[error("a string is not terminated")]
    Unterminated,
}

impl From<LimitError> for Refusal {
    fn from(error: LimitError) -> Self {
        let message = error.to_string();
        match error {
            LimitError::Exceeded { limit, maximum } => Self::new(Code::QueryTooComplex, message)
                .with("limit", limit)
                .with("maximum", maximum),
            LimitError::Page(maximum) => Self::new(Code::BadUserInput, message)
                .with("limit", "page size")
                .with("maximum", maximum),
            LimitError::Cycle(_) => Self::new(Code::ValidationFailed, message),
            LimitError::Introspection => Self::new(Code::IntrospectionDisabled, message),
            LimitError::Unterminated => Self::new(Code::ParseFailed, message),
        }
    }
}

fn bound(limit: &'static str, value: u64, maximum: usize) -> Result<(), LimitError> {
    if value > maximum as u64 {
        Err(LimitError::Exceeded { limit, maximum })
    } else {
        Ok(())
    }
}

/// Bounds the text in one pass, before it is parsed.
///
/// It must see strings and comments end where the parser sees them end, or brackets could hide from it. A block
/// string without an end is refused here, because the parser then tries to read it as an empty string and more.
pub(crate) fn scan(text: &str, limits: &Limits) -> Result<(), LimitError> {
    bound("bytes", text.len() as u64, limits.bytes)?;
    let bytes = text.as_bytes();
    let (mut at, mut tokens, mut open) = (0, 0_u64, 0_u64);
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let length = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                at += 1;
                continue;
            }
            b'#' => {
                at += rest
                    .iter()
                    .position(|byte| matches!(byte, b'\r' | b'\n'))
                    .unwrap_or(rest.len());
                continue;
            }
            b'"' => string_length(rest)?,
            b'{' | b'[' | b'(' => {
                open += 1;
                bound("open brackets", open, limits.brackets)?;
                1
            }
            b'}' | b']' | b')' => {
                open = open.saturating_sub(1);
                1
            }
            _ if is_word(byte) => rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len()),
            _ => 1,
        };
        at += length;
        tokens += 1;
        bound("tokens", tokens, limits.tokens)?;
    }
    Ok(())
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// The length of the string that the bytes start with, quotes included.
fn string_length(bytes: &[u8]) -> Result<usize, LimitError> {
    let block = bytes.starts_with(br#"""""#);
    let mut at = if block { 3 } else { 1 };
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        at += match (block, rest) {
            (true, [b'\\', b'"', b'"', b'"', ..]) => 4,
            (true, [b'"', b'"', b'"', ..]) => return Ok(at + 3),
            (false, [b'\\', _, ..]) => 2,
            (false, [b'"', ..]) => return Ok(at + 1),
            (false, [b'\r' | b'\n', ..]) => return Err(LimitError::Unterminated),
            _ => 1,
        };
    }
    Err(LimitError::Unterminated)
}

/// Bounds the whole document and prices the operation that will be executed.
pub(crate) fn measure(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    variables: &Variables,
    limits: &Limits,
) -> Result<Cost, LimitError> {
    bound("fragments", document.fragments.len() as u64, limits.fragments)?;
    bound(
        "operations",
        document.operations.iter().len() as u64,
        limits.operations,
    )?;
    bound("variables", variables.len() as u64, limits.variables)?;
    for value in variables.values() {
        value_bounds(value, limits, 0)?;
    }
    let mut walk = Walk {
        document,
        operation,
        variables,
        limits,
        known: HashMap::new(),
        directives: 0,
        mixed: false,
    };
    let mut chosen = None;
    for (_, other) in document.operations.iter() {
        // All of them: async-graphql's checks walk also those that are not executed.
        let sum = walk.operation(&other.node)?;
        if std::ptr::eq(&raw const other.node, operation) {
            chosen = Some(sum);
        }
    }
    for name in document.fragments.keys() {
        walk.fragment(name, 0)?;
    }
    let sum = chosen.unwrap_or_default();
    let writes = match operation.ty {
        OperationType::Mutation => {
            bound("root fields", sum.width, limits.mutation_fields)?;
            sum.width
        }
        _ => {
            bound("root fields", sum.width, limits.query_fields)?;
            0
        }
    };
    bound("nodes", sum.nodes, limits.nodes)?;
    let points = 1 + sum.nodes / 10 + sum.fields / 20 + sum.searches * SEARCH + writes * WRITE;
    Ok(Cost {
        points: u32::try_from(points).unwrap_or(u32::MAX),
        nodes: sum.nodes,
        fields: sum.fields,
        mixed: walk.mixed,
    })
}

/// What a selection set adds up to, fragments expanded.
#[derive(Clone, Debug, Default)]
struct Sum<'a> {
    /// All fields.
    fields: u64,
    /// The fields of the first level.
    width: u64,
    aliases: u64,
    nodes: u64,
    /// Counts of whole lists, and lists that are filtered: what a page's size says nothing of.
    searches: u64,
    /// Levels of fields.
    depth: u64,
    /// Levels of fields and fragments.
    height: u64,
    /// The most lists of an introspection query inside each other.
    lists: u64,
    /// Whether the first level has `edges` or `nodes`: the field around it is a connection.
    connection: bool,
    /// How often the first level takes each field that is worth repeating.
    names: HashMap<&'a str, u64>,
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
    /// The one whose variables count.
    operation: &'a OperationDefinition,
    variables: &'a Variables,
    limits: &'a Limits,
    /// Fragments already added up; `None` while it is being done, so that meeting it again is a cycle.
    known: HashMap<&'a str, Option<Sum<'a>>>,
    directives: u64,
    mixed: bool,
}

impl<'a> Walk<'a> {
    fn operation(&mut self, operation: &'a OperationDefinition) -> Result<Sum<'a>, LimitError> {
        self.directives(&operation.directives)?;
        bound(
            "variables",
            operation.variable_definitions.len() as u64,
            self.limits.variables,
        )?;
        for definition in &operation.variable_definitions {
            self.directives(&definition.node.directives)?;
            if let Some(value) = &definition.node.default_value {
                value_bounds(&value.node, self.limits, 0)?;
            }
        }
        let sum = self.selection(&operation.selection_set.node, 0)?;
        bound("levels", sum.depth, self.limits.depth)?;
        Ok(sum)
    }

    fn fragment(&mut self, name: &'a Name, level: u64) -> Result<Sum<'a>, LimitError> {
        let Some(fragment) = self.document.fragments.get(name.as_str()) else {
            return Ok(Sum::default()); // validation names the fragment that is missing
        };
        match self.known.entry(name.as_str()) {
            Entry::Occupied(known) => {
                let sum = known
                    .get()
                    .clone()
                    .ok_or_else(|| LimitError::Cycle(name.clone()))?;
                bound("nested selections", level + sum.height, self.limits.nesting)?;
                return Ok(sum);
            }
            Entry::Vacant(free) => free.insert(None),
        };
        self.directives(&fragment.node.directives)?;
        let sum = self.selection(&fragment.node.selection_set.node, level)?;
        self.known.insert(name.as_str(), Some(sum.clone()));
        Ok(sum)
    }

    /// `level` bounds this function's own recursion: it counts what is open, fragments included.
    fn selection(&mut self, set: &'a SelectionSet, level: u64) -> Result<Sum<'a>, LimitError> {
        bound("nested selections", level, self.limits.nesting)?;
        let mut sum = Sum::default();
        for item in &set.items {
            self.directives(item.node.directives())?;
            let inner = match &item.node {
                Selection::Field(field) => self.field(&field.node, level)?,
                Selection::FragmentSpread(spread) => {
                    self.fragment(&spread.node.fragment_name.node, level + 1)?
                }
                Selection::InlineFragment(inline) => {
                    self.selection(&inline.node.selection_set.node, level + 1)?
                }
            };
            // A field counts its own level; what a fragment brings stands one lower than where it is spread.
            let own = u64::from(!matches!(item.node, Selection::Field(_)));
            sum.add(inner, own);
            bound("fields", sum.fields, self.limits.fields)?;
            bound("aliases", sum.aliases, self.limits.aliases)?;
        }
        let most = sum.names.values().max().copied().unwrap_or(0);
        bound("repetitions of a field", most, self.limits.repeats)?;
        Ok(sum)
    }

    fn field(&mut self, field: &'a Field, level: u64) -> Result<Sum<'a>, LimitError> {
        let name = field.name.node.as_str();
        let page = self.arguments(field)?;
        let leaf = field.selection_set.node.items.is_empty();
        let mut inner = match leaf {
            true => Sum::default(),
            false => self.selection(&field.selection_set.node, level + 1)?,
        };
        if name == "__schema" || name == "__type" {
            self.introspection(&mut inner)?;
        }
        let page = match page {
            None if inner.connection => Some(self.limits.default_page as u64),
            page => page,
        };
        let plain = field.arguments.is_empty();
        Ok(Sum {
            fields: inner.fields.saturating_add(1),
            width: 1,
            aliases: inner.aliases + u64::from(field.alias.is_some()),
            nodes: match page {
                Some(page) => page.saturating_mul(inner.nodes.saturating_add(1)),
                None => inner.nodes,
            },
            searches: inner.searches
                + u64::from(name == "totalCount")
                + u64::from(field.get_argument("filter").is_some()),
            depth: inner.depth + 1,
            height: if leaf { 0 } else { inner.height + 1 },
            lists: inner.lists
                + u64::from(matches!(
                    name,
                    "fields" | "inputFields" | "interfaces" | "possibleTypes"
                )),
            connection: plain && !leaf && (name == "edges" || name == "nodes"),
            names: match plain && leaf {
                true => HashMap::new(),
                false => HashMap::from([(name, 1)]),
            },
        })
    }

    /// Introspection has bounds of its own, and its levels do not count as the query's.
    fn introspection(&self, inner: &mut Sum<'a>) -> Result<(), LimitError> {
        if !self.limits.introspection {
            return Err(LimitError::Introspection);
        }
        bound("levels of introspection", inner.depth, INTROSPECTION_DEPTH)?;
        bound("lists of introspection", inner.lists, INTROSPECTION_LISTS)?;
        inner.depth = 0;
        inner.lists = 0;
        Ok(())
    }

    /// Bounds the arguments, and finds how many nodes they ask for: `first`, `last`, or the length of `ids`.
    fn arguments(&mut self, field: &'a Field) -> Result<Option<u64>, LimitError> {
        let mut page = None;
        for (name, value) in &field.arguments {
            let argument = Argument::read(|lookup| value.node.clone().into_const_with(lookup));
            value_bounds(&argument.literal, self.limits, 0)?;
            self.mixed |= argument.mixed;
            let value = match &argument.variable {
                Some(variable) => self.variable(variable),
                None => Some(&argument.literal),
            };
            let wanted = match (name.node.as_str(), value) {
                ("first" | "last", Some(Value::Number(number))) => {
                    let wanted = number.as_u64().unwrap_or(0);
                    match wanted > self.limits.page as u64 {
                        true => return Err(LimitError::Page(self.limits.page)),
                        false => wanted,
                    }
                }
                ("ids", Some(Value::List(ids))) => ids.len() as u64,
                _ => continue,
            };
            page = Some(page.unwrap_or(0).max(wanted));
        }
        Ok(page)
    }

    /// The value of a variable of the operation that will be executed.
    fn variable<'b>(&'b self, name: &Name) -> Option<&'b Value> {
        self.variables.get(name).or_else(|| {
            let mut definitions = self.operation.variable_definitions.iter();
            let definition = definitions.find(|definition| definition.node.name.node == *name)?;
            definition.node.default_value.as_ref().map(|value| &value.node)
        })
    }

    fn directives(&mut self, directives: &'a [Positioned<Directive>]) -> Result<(), LimitError> {
        bound(
            "directives in one place",
            directives.len() as u64,
            self.limits.directives_per_node,
        )?;
        self.directives += directives.len() as u64;
        bound("directives", self.directives, self.limits.directives)?;
        for (_, value) in directives.iter().flat_map(|directive| &directive.node.arguments) {
            let argument = Argument::read(|lookup| value.node.clone().into_const_with(lookup));
            value_bounds(&argument.literal, self.limits, 0)?;
            self.mixed |= argument.mixed;
        }
        Ok(())
    }
}

/// An argument as it is written, variables left out.
struct Argument {
    /// `null` where a variable stands.
    literal: Value,
    /// The variable, if the argument is nothing else.
    variable: Option<Name>,
    /// Whether variables stand inside a list or an object.
    mixed: bool,
}

impl Argument {
    fn read(
        convert: impl FnOnce(&mut dyn FnMut(Name) -> Result<Value, Infallible>) -> Result<Value, Infallible>,
    ) -> Self {
        let mut variable = None;
        let Ok(literal) = convert(&mut |name| {
            variable = Some(name);
            Ok(Value::Null)
        });
        let plain = literal == Value::Null;
        let mixed = variable.is_some() && !plain;
        Self {
            literal,
            variable: variable.filter(|_| plain),
            mixed,
        }
    }
}

impl<'a> Sum<'a> {
    fn add(&mut self, other: Self, own_level: u64) {
        self.fields = self.fields.saturating_add(other.fields);
        self.width = self.width.saturating_add(other.width);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.searches = self.searches.saturating_add(other.searches);
        self.depth = self.depth.max(other.depth);
        self.height = self.height.max(other.height + own_level);
        self.lists = self.lists.max(other.lists);
        self.connection |= other.connection;
        for (name, count) in other.names {
            let known = self.names.entry(name).or_default();
            *known = known.saturating_add(count);
        }
    }
}

fn list(length: usize, limits: &Limits) -> Result<(), LimitError> {
    bound("items in a list", length as u64, limits.list_items)
}

fn value_bounds(value: &Value, limits: &Limits, depth: u64) -> Result<(), LimitError> {
    bound("nested values", depth, limits.value_depth)?;
    match value {
        Value::List(items) => {
            list(items.len(), limits)?;
            items
                .iter()
                .try_for_each(|item| value_bounds(item, limits, depth + 1))
        }
        Value::Object(fields) => fields
            .values()
            .try_for_each(|field| value_bounds(field, limits, depth + 1)),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
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
        let text =
            "query($n: Int = 7, $ids: [ID!]) { a(first: $n) { nodes { id } } nodes(ids: $ids) { id } }";
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
}
