//! What a document may cost: bounds that are checked before async-graphql sees it, and the price of an operation.
//!
//! async-graphql walks fragment spreads without remembering what it has seen: 24 fragments that each spread the
//! next one twice keep it busy for seconds, in its own depth check, before any hook. So [`scan`] bounds the text
//! before it is parsed (the parser recurses on brackets), and [`measure`] bounds the parsed document, visiting
//! every definition once and adding up with saturation.

mod scan;
mod walk;

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
use walk::{Walk, value_bounds};

pub(crate) use scan::scan;

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
    let mut walk = Walk::new(document, operation, variables, limits);
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

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests;
