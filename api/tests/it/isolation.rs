//! Walks the schema: every field and mutation that takes an id is called with another user's ids, and must
//! answer exactly as for ids that nobody has, and change nothing.

use std::collections::BTreeMap;

use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, Type, TypeDefinition, TypeKind, TypeSystemDefinition,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::support::{TestApp, User};

/// What the walk can't cover, one `Type.field` a line. Empty, and to stay so.
const UNCOVERED: &str = include_str!("uncovered.txt");

pub struct Schema(pub BTreeMap<String, TypeDefinition>);

impl Schema {
    pub fn read() -> Self {
        let document = async_graphql::parser::parse_schema(api::graphql::sdl()).unwrap();
        let types = document
            .definitions
            .into_iter()
            .filter_map(|definition| match definition {
                TypeSystemDefinition::Type(definition) => Some(definition.node),
                _ => None,
            });
        Self(
            types
                .map(|definition| (definition.name.node.to_string(), definition))
                .collect(),
        )
    }

    pub fn fields(&self, name: &str) -> Vec<FieldDefinition> {
        match self.0.get(name).map(|definition| &definition.kind) {
            Some(TypeKind::Object(object)) => object.fields.iter().map(|field| field.node.clone()).collect(),
            _ => Vec::new(),
        }
    }

    pub fn inputs(&self, name: &str) -> Vec<InputValueDefinition> {
        match self.0.get(name).map(|definition| &definition.kind) {
            Some(TypeKind::InputObject(object)) => {
                object.fields.iter().map(|field| field.node.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The paths of all ids in an argument, such as `input.contactId`.
    pub fn id_paths(&self, value: &InputValueDefinition, prefix: &str) -> Vec<String> {
        let path = format!("{prefix}{}", value.name.node);
        let name = named(&value.ty.node);
        if name == "ID" {
            return vec![path];
        }
        self.inputs(&name)
            .iter()
            .flat_map(|field| self.id_paths(field, &format!("{path}.")))
            .collect()
    }

    /// A value of a type: `ids` by path, and of the rest what is required.
    pub fn value(
        &self,
        value: &InputValueDefinition,
        prefix: &str,
        ids: &BTreeMap<String, String>,
    ) -> Option<Value> {
        let path = format!("{prefix}{}", value.name.node);
        let inside = |key: &String| key == &path || key.starts_with(&format!("{path}."));
        let wanted = ids.keys().any(inside);
        let required = !value.ty.node.nullable && value.default_value.is_none();
        if !wanted && !required {
            return None;
        }
        let name = named(&value.ty.node);
        let one = match name.as_str() {
            "ID" => json!(ids.get(&path)),
            "Int" => json!(1),
            "Float" => json!(1.0),
            "Boolean" => json!(true),
            "EmailAddress" => json!("someone@example.test"),
            "Url" => json!("https://example.test/"),
            "Upload" => Value::Null,
            _ => match &self.0.get(&name).map(|definition| &definition.kind) {
                Some(TypeKind::Enum(values)) => json!(values.values[0].node.value.node.to_string()),
                Some(TypeKind::InputObject(_)) => {
                    let fields = self.inputs(&name);
                    let fields = fields.iter().filter_map(|field| {
                        Some((
                            field.name.node.to_string(),
                            self.value(field, &format!("{path}."), ids)?,
                        ))
                    });
                    Value::Object(fields.collect::<Map<_, _>>())
                }
                _ => json!("text"),
            },
        };
        Some(if matches!(value.ty.node.base, BaseType::List(_)) {
            json!([one])
        } else {
            one
        })
    }

    /// Everything of a type that needs no argument, some levels deep.
    pub fn selection(&self, name: &str, depth: usize) -> String {
        let fields = self.fields(name).into_iter().filter_map(|field| {
            if field
                .arguments
                .iter()
                .any(|a| !a.node.ty.node.nullable && a.node.default_value.is_none())
            {
                return None;
            }
            let inner = named(&field.ty.node);
            let leaf = self.fields(&inner).is_empty() && !self.is_abstract(&inner);
            match (leaf, depth) {
                (true, _) => Some(field.name.node.to_string()),
                (false, 0) => None,
                (false, _) => Some(format!(
                    "{} {}",
                    field.name.node,
                    self.selection(&inner, depth - 1)
                )),
            }
        });
        let fields: Vec<String> = fields.collect();
        if fields.is_empty() {
            "{ __typename }".to_owned()
        } else {
            format!("{{ __typename {} }}", fields.join(" "))
        }
    }

    pub fn is_abstract(&self, name: &str) -> bool {
        matches!(
            self.0.get(name).map(|d| &d.kind),
            Some(TypeKind::Interface(_) | TypeKind::Union(_))
        )
    }
}

pub fn named(ty: &Type) -> String {
    match &ty.base {
        BaseType::Named(name) => name.to_string(),
        BaseType::List(inner) => named(inner),
    }
}

/// What a path's id is of, by the field's and the argument's names.
pub fn kind(field: &str, path: &str) -> &'static str {
    let text = format!("{path} {field}").to_lowercase();
    let last = path.rsplit('.').next().unwrap().to_lowercase();
    let of = |text: &str| {
        [
            "note", "tag", "company", "import", "session", "passkey", "apikey", "email", "identity", "user",
            "contact",
        ]
        .into_iter()
        .find(|k| text.contains(k))
    };
    of(&last).or_else(|| of(&text)).unwrap_or("contact")
}

/// One global id of each kind.
pub async fn ids(user: &User<'_>) -> BTreeMap<&'static str, String> {
    let csv = "First Name,Labels,E-mail 1 - Value,Organization Name\nEve,Friends,eve@example.test,Acme\n";
    let import = user.import("contacts.csv", csv).await;
    let data = user
        .gql(
            "{ viewer { id sessions { id } passkeys { id } auditEvents { nodes { id } } signInMethods { emails { id } identities { id } } } \
             contacts { nodes { id tags { id } affiliations { company { id } } } } }",
            json!({}),
        )
        .await;
    let contact = &data["contacts"]["nodes"][0];
    let input = json!({ "input": { "contactId": contact["id"], "body": "a note" } });
    let note = user
        .gql(
            "mutation ($input: CreateNoteInput!) { createNote(input: $input) { note { id } } }",
            input,
        )
        .await;
    let input = json!({ "input": { "name": "Zapier", "scopes": ["contacts:read"] } });
    let key = user
        .gql(
            "mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { apiKey { id } } }",
            input,
        )
        .await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    BTreeMap::from([
        ("apikey", text(&key["createApiKey"]["apiKey"]["id"])),
        ("user", text(&data["viewer"]["id"])),
        ("contact", text(&contact["id"])),
        ("tag", text(&contact["tags"][0]["id"])),
        ("company", text(&contact["affiliations"][0]["company"]["id"])),
        ("note", text(&note["createNote"]["note"]["id"])),
        ("import", text(&import["id"])),
        ("session", text(&data["viewer"]["sessions"][0]["id"])),
        ("passkey", text(&data["viewer"]["passkeys"][0]["id"])),
        ("email", text(&data["viewer"]["signInMethods"]["emails"][0]["id"])),
        (
            "identity",
            text(&data["viewer"]["signInMethods"]["identities"][0]["id"]),
        ),
        (
            "audit event",
            text(&data["viewer"]["auditEvents"]["nodes"][0]["id"]),
        ),
    ])
}

/// An id of the same kind that nobody has.
pub fn unknown(id: &str) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(id).unwrap();
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
    URL_SAFE_NO_PAD.encode(bytes)
}

const DUMP: &str = "{ viewer { id name timeZone deleteAfter sessions { id } passkeys { id name } apiKeys { id revokedAt } \
      auditEvents { totalCount } signInMethods { emails { id } identities { id } } } \
    tags { nodes { id name } } companies { nodes { id name } } \
    imports { nodes { id state counts { total } } } \
    contacts { totalCount nodes { id displayName version updatedAt emails { address } tags { id } \
      notes { nodes { id body version } } } } }";

#[actix_web::test]
async fn every_field_answers_anothers_id_like_an_unknown_one() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.as_user("ada").await, app.as_user("bob").await);
    for name in ["ada", "bob"] {
        app.give_passkey(name, "Laptop").await;
    }
    app.give_identities().await;
    let mine = ids(&ada).await;
    let theirs = ids(&bob).await;
    let before = bob.gql(DUMP, json!({})).await;
    let schema = Schema::read();
    let mut walked = Vec::new();
    for (root, operation) in [("Query", "query"), ("Mutation", "mutation")] {
        for field in schema.fields(root) {
            let arguments: Vec<InputValueDefinition> =
                field.arguments.iter().map(|a| a.node.clone()).collect();
            let paths: Vec<String> = arguments.iter().flat_map(|a| schema.id_paths(a, "")).collect();
            for path in &paths {
                for (foreign_kind, foreign) in &theirs {
                    let mut answers = Vec::new();
                    for id in [foreign.clone(), unknown(foreign)] {
                        let mut chosen: BTreeMap<String, String> = BTreeMap::new();
                        for other in paths.iter().filter(|other| *other != path) {
                            if required(&schema, &arguments, other) {
                                chosen.insert(other.clone(), mine[kind(&field.name.node, other)].clone());
                            }
                        }
                        chosen.insert(path.clone(), id.clone());
                        let answer = call(&schema, &ada, operation, &field, &arguments, &chosen).await;
                        answers.push(answer.to_string().replace(&id, "ID"));
                    }
                    let name = format!("{root}.{}({path}: another's {foreign_kind})", field.name.node);
                    assert_eq!(answers[0], answers[1], "{name}");
                    for (kind, id) in &theirs {
                        assert!(
                            *kind == *foreign_kind || !answers[0].contains(id.as_str()),
                            "{name} shows a {kind}"
                        );
                    }
                }
                walked.push(format!("{root}.{}.{path}", field.name.node));
            }
        }
    }
    assert_eq!(
        bob.gql(DUMP, json!({})).await,
        before,
        "nothing of the other user's has changed"
    );
    for expected in [
        "Query.node.id",
        "Query.nodes.ids",
        "Mutation.endSession.input.id",
        "Mutation.removePasskey.input.id",
        "Mutation.removeEmail.input.id",
        "Mutation.removeIdentity.input.id",
        "Mutation.tagContact.input.tagId",
        "Query.contacts.filter.tagId",
        "Mutation.createContact.input.affiliations.companyId",
    ] {
        assert!(
            walked.iter().any(|w| w == expected),
            "{expected} was not walked: {walked:#?}"
        );
    }
}

/// Whether an id must be given for the call to be one.
fn required(schema: &Schema, arguments: &[InputValueDefinition], path: &str) -> bool {
    let mut list = arguments.to_vec();
    for step in path.split('.') {
        let Some(value) = list.iter().find(|value| value.name.node == step) else {
            return false;
        };
        if value.ty.node.nullable {
            return false;
        }
        list = schema.inputs(&named(&value.ty.node));
    }
    true
}

async fn call(
    schema: &Schema,
    user: &User<'_>,
    operation: &str,
    field: &FieldDefinition,
    arguments: &[InputValueDefinition],
    ids: &BTreeMap<String, String>,
) -> Value {
    let mut variables = Map::new();
    let (mut declared, mut passed) = (Vec::new(), Vec::new());
    for argument in arguments {
        if let Some(value) = schema.value(argument, "", ids) {
            let name = &argument.name.node;
            declared.push(format!("${name}: {}", argument.ty.node));
            passed.push(format!("{name}: ${name}"));
            variables.insert(name.to_string(), value);
        }
    }
    let selection = schema.selection(&named(&field.ty.node), 3);
    let query = format!(
        "{operation} ({}) {{ {}({}) {selection} }}",
        declared.join(", "),
        field.name.node,
        passed.join(", ")
    );
    let answer = user.answer(&query, Value::Object(variables)).await;
    // A call that is refused before it reaches a resolver proves nothing.
    let code = answer["errors"][0]["extensions"]["code"]
        .as_str()
        .unwrap_or_default();
    assert!(
        !code.starts_with("GRAPHQL") && code != "QUERY_TOO_COMPLEX" && code != "INTERNAL",
        "{query}\n{answer:#}"
    );
    answer
}

#[actix_web::test]
async fn only_root_fields_take_ids() {
    let schema = Schema::read();
    let mut uncovered = Vec::new();
    for name in schema
        .0
        .keys()
        .filter(|name| !["Query", "Mutation"].contains(&name.as_str()))
    {
        for field in schema.fields(name) {
            if field
                .arguments
                .iter()
                .any(|argument| !schema.id_paths(&argument.node, "").is_empty())
            {
                uncovered.push(format!("{name}.{}", field.name.node));
            }
        }
    }
    assert_eq!(
        uncovered.join("\n"),
        UNCOVERED.trim(),
        "uncovered.txt lists what the walk does not reach"
    );
}

#[actix_web::test]
async fn everything_is_described() {
    let schema = Schema::read();
    let mut bare = Vec::new();
    for (name, definition) in &schema.0 {
        if definition.description.is_none() && !["Query", "Mutation"].contains(&name.as_str()) {
            bare.push(name.clone());
        }
        for field in schema.fields(name) {
            if field.description.is_none() {
                bare.push(format!("{name}.{}", field.name.node));
            }
            for argument in field
                .arguments
                .iter()
                .filter(|argument| argument.node.description.is_none())
            {
                bare.push(format!("{name}.{}({})", field.name.node, argument.node.name.node));
            }
        }
        for field in schema
            .inputs(name)
            .iter()
            .filter(|field| field.description.is_none())
        {
            bare.push(format!("{name}.{}", field.name.node));
        }
        if let TypeKind::Enum(values) = &definition.kind {
            let values = values
                .values
                .iter()
                .filter(|value| value.node.description.is_none());
            bare.extend(values.map(|value| format!("{name}.{}", value.node.value.node)));
        }
    }
    assert!(bare.is_empty(), "without a description: {bare:#?}");
}
