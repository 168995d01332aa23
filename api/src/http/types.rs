//! What the schema's own description says of its types: for checking variables before anything runs, and for writing
//! the nulls that async-graphql leaves out of an answer.

use std::collections::{HashMap, HashSet};

use async_graphql::{
    Name, PathSegment, Positioned, Value,
    parser::{
        self,
        types::{
            BaseType, FieldDefinition, FragmentDefinition, InputValueDefinition, OperationType, Selection,
            SelectionSet, Type, TypeDefinition, TypeKind, TypeSystemDefinition,
        },
    },
};

/// `Int` has 32 bits on the wire, whatever the resolver reads it into.
fn is_int(number: Option<i64>) -> bool {
    number.is_some_and(|number| i32::try_from(number).is_ok())
}

/// What the schema's description says of its types: the one public account of them that there is.
#[derive(Default)]
pub(super) struct Types {
    /// Without the five built-in scalars.
    pub(super) inputs: HashMap<String, Input>,
    /// The fields of objects and interfaces.
    outputs: HashMap<String, HashMap<String, Type>>,
    query: Option<String>,
    mutation: Option<String>,
}

pub(super) enum Input {
    Scalar(Option<fn(&Value) -> bool>),
    Enum(HashSet<String>),
    Object {
        fields: HashMap<String, Field>,
        one_of: bool,
    },
}

/// A field of an input object.
pub(super) struct Field {
    wanted: Type,
    required: bool,
}

impl Types {
    pub(super) fn read(sdl: &str) -> Result<Self, parser::Error> {
        let mut types = Self::default();
        for definition in parser::parse_schema(sdl)?.definitions {
            match definition {
                TypeSystemDefinition::Type(definition) => types.add(definition.node),
                TypeSystemDefinition::Schema(schema) => {
                    types.query = schema.node.query.map(|name| name.node.to_string());
                    types.mutation = schema.node.mutation.map(|name| name.node.to_string());
                }
                TypeSystemDefinition::Directive(_) => {}
            }
        }
        Ok(types)
    }

    fn add(&mut self, definition: TypeDefinition) {
        let name = definition.name.node.to_string();
        let outputs = |fields: Vec<Positioned<FieldDefinition>>| {
            fields
                .into_iter()
                .map(|field| (field.node.name.node.to_string(), field.node.ty.node))
                .collect()
        };
        let input = match definition.kind {
            TypeKind::Object(of) => return drop(self.outputs.insert(name, outputs(of.fields))),
            TypeKind::Interface(of) => return drop(self.outputs.insert(name, outputs(of.fields))),
            TypeKind::Union(_) => return,
            TypeKind::Scalar => Input::Scalar(None),
            TypeKind::Enum(of) => Input::Enum(
                of.values
                    .iter()
                    .map(|value| value.node.value.node.to_string())
                    .collect(),
            ),
            TypeKind::InputObject(of) => Input::Object {
                fields: of
                    .fields
                    .into_iter()
                    .map(|field| input_field(field.node))
                    .collect(),
                one_of: definition
                    .directives
                    .iter()
                    .any(|directive| directive.node.name.node == "oneOf"),
            },
        };
        self.inputs.insert(name, input);
    }

    pub(super) fn root(&self, operation: OperationType) -> Option<&str> {
        match operation {
            OperationType::Query => self.query.as_deref(),
            OperationType::Mutation => self.mutation.as_deref(),
            OperationType::Subscription => None,
        }
    }

    /// The message says where and what was expected, and never repeats the value.
    pub(super) fn fits(&self, value: &Value, wanted: &Type, path: &str) -> Result<(), String> {
        if *value == Value::Null {
            return match wanted.nullable {
                true => Ok(()),
                false => Err(format!("{path} is null; expected {wanted}")),
            };
        }
        let name = match (&wanted.base, value) {
            (BaseType::List(inner), Value::List(items)) => {
                return items
                    .iter()
                    .enumerate()
                    .try_for_each(|(at, item)| self.fits(item, inner, &format!("{path}[{at}]")));
            }
            // One value stands for a list of one.
            (BaseType::List(inner), value) => return self.fits(value, inner, path),
            (BaseType::Named(name), _) => name,
        };
        let unexpected = || Err(format!("{path} is not of type {name}"));
        match (self.inputs.get(name.as_str()), value) {
            (Some(Input::Object { fields, one_of }), Value::Object(given)) => {
                self.object(name, fields, *one_of, given, path)
            }
            (Some(Input::Enum(values)), Value::String(given)) if values.contains(given.as_str()) => Ok(()),
            (Some(Input::Scalar(Some(check))), value) if check(value) => Ok(()),
            // Not known, or a scalar that does its own checks: its resolver's business.
            (Some(Input::Scalar(None)), _) => Ok(()),
            (Some(_), _) => unexpected(),
            (None, value) => match (name.as_str(), value) {
                ("Int", Value::Number(number)) if is_int(number.as_i64()) => Ok(()),
                ("Float", Value::Number(_)) => Ok(()),
                ("String", Value::String(_)) | ("Boolean", Value::Boolean(_)) => Ok(()),
                ("ID", Value::String(_)) => Ok(()),
                ("ID", Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(()),
                _ => unexpected(),
            },
        }
    }

    fn object(
        &self,
        name: &Name,
        fields: &HashMap<String, Field>,
        one_of: bool,
        given: &async_graphql::indexmap::IndexMap<Name, Value>,
        path: &str,
    ) -> Result<(), String> {
        if one_of && (given.len() != 1 || given.values().any(|value| *value == Value::Null)) {
            return Err(format!(
                "{path} must have exactly one field of {name}, and not null"
            ));
        }
        for (key, value) in given {
            match fields.get(key.as_str()) {
                Some(field) => self.fits(value, &field.wanted, &format!("{path}.{key}"))?,
                None => return Err(format!("{path} has a field that {name} does not have")),
            }
        }
        let missing = fields
            .iter()
            .find(|(key, field)| field.required && !given.contains_key(key.as_str()));
        match missing {
            Some((key, field)) => Err(format!("{path}.{key} of type {} is missing", field.wanted)),
            None => Ok(()),
        }
    }
}

/// Follows the path of an error through the answer.
pub(super) struct Nulls<'a> {
    pub(super) types: &'a Types,
    pub(super) fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
}

/// What a value tells the one around it.
#[derive(PartialEq, Eq)]
pub(super) enum Up {
    Nothing,
    /// "I may not be null, but I am."
    Null,
}

impl<'a> Nulls<'a> {
    pub(super) fn object(
        &self,
        value: &mut Value,
        sets: &[&'a SelectionSet],
        ty: &str,
        path: &[PathSegment],
        fill: bool,
    ) -> Up {
        let [PathSegment::Field(key), rest @ ..] = path else {
            return Up::Nothing;
        };
        let (mut wanted, mut inner) = (None, Vec::new());
        for set in sets {
            self.gather(set, ty, key, &mut wanted, &mut inner);
        }
        let Some(wanted) = wanted else { return Up::Nothing };
        if fill && *value == Value::Null {
            *value = Value::Object(Default::default()); // all of its fields failed
        }
        let Value::Object(fields) = value else {
            return Up::Nothing;
        };
        let field = match fill {
            true => fields.entry(Name::new(key)).or_insert(Value::Null),
            false => match fields.get_mut(key.as_str()) {
                Some(field) => field,
                None => return Up::Nothing,
            },
        };
        self.inside(field, &inner, wanted, rest, fill)
    }

    fn inside(
        &self,
        value: &mut Value,
        sets: &[&'a SelectionSet],
        wanted: &Type,
        path: &[PathSegment],
        fill: bool,
    ) -> Up {
        let up = match (&wanted.base, path, &mut *value) {
            (_, [], Value::Null) if !fill => Up::Null,
            (BaseType::List(inner), [PathSegment::Index(at), rest @ ..], Value::List(items)) => items
                .get_mut(*at)
                .map_or(Up::Nothing, |item| self.inside(item, sets, inner, rest, fill)),
            (BaseType::Named(name), [_, ..], value) => self.object(value, sets, name, path, fill),
            _ => Up::Nothing,
        };
        if up == Up::Null && wanted.nullable {
            *value = Value::Null;
            return Up::Nothing;
        }
        up
    }

    /// The type of the field behind a key of the answer, and all that is selected of it.
    fn gather(
        &self,
        set: &'a SelectionSet,
        parent: &str,
        key: &str,
        wanted: &mut Option<&'a Type>,
        inner: &mut Vec<&'a SelectionSet>,
    ) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) if field.node.response_key().node == key => {
                    let fields = self.types.outputs.get(parent);
                    let ty = fields.and_then(|fields| fields.get(field.node.name.node.as_str()));
                    *wanted = wanted.or(ty);
                    inner.push(&field.node.selection_set.node);
                }
                Selection::Field(_) => {}
                Selection::InlineFragment(inline) => {
                    let on = inline
                        .node
                        .type_condition
                        .as_ref()
                        .map(|on| on.node.on.node.as_str());
                    let set = &inline.node.selection_set.node;
                    self.gather(set, on.unwrap_or(parent), key, wanted, inner);
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.fragments.get(&spread.node.fragment_name.node) {
                        let on = fragment.node.type_condition.node.on.node.as_str();
                        self.gather(&fragment.node.selection_set.node, on, key, wanted, inner);
                    }
                }
            }
        }
    }
}

fn input_field(field: InputValueDefinition) -> (String, Field) {
    let wanted = field.ty.node;
    let required = !wanted.nullable && field.default_value.is_none();
    (field.name.node.to_string(), Field { wanted, required })
}
