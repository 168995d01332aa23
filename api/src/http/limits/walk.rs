//! Adds up what a document asks for, each fragment once however often it is spread.

use super::*;

/// What a selection set adds up to, fragments expanded.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum<'a> {
    /// All fields.
    pub(super) fields: u64,
    /// The fields of the first level.
    pub(super) width: u64,
    aliases: u64,
    pub(super) nodes: u64,
    /// Counts of whole lists, and lists that are filtered: what a page's size says nothing of.
    pub(super) searches: u64,
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

pub(super) struct Walk<'a> {
    document: &'a ExecutableDocument,
    /// The one whose variables count.
    operation: &'a OperationDefinition,
    variables: &'a Variables,
    limits: &'a Limits,
    /// Fragments already added up; `None` while it is being done, so that meeting it again is a cycle.
    known: HashMap<&'a str, Option<Sum<'a>>>,
    directives: u64,
    pub(super) mixed: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        document: &'a ExecutableDocument,
        operation: &'a OperationDefinition,
        variables: &'a Variables,
        limits: &'a Limits,
    ) -> Self {
        Self {
            document,
            operation,
            variables,
            limits,
            known: HashMap::new(),
            directives: 0,
            mixed: false,
        }
    }

    pub(super) fn operation(&mut self, operation: &'a OperationDefinition) -> Result<Sum<'a>, LimitError> {
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

    pub(super) fn fragment(&mut self, name: &'a Name, level: u64) -> Result<Sum<'a>, LimitError> {
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
    pub(super) mixed: bool,
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

pub(super) fn value_bounds(value: &Value, limits: &Limits, depth: u64) -> Result<(), LimitError> {
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
