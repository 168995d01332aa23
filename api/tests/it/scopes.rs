//! Walks the schema as a stranger, as somebody signed in, and with keys of every scope: each field of each type, each
//! query and each mutation is denied to who may not, and says in its description what it needs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use async_graphql::parser::types::{FieldDefinition, TypeKind};
use domain::identity::scope::Scope;
use futures::future::join_all;
use reqwest::multipart::{Form, Part};
use serde_json::{Map, Value, json};

use crate::isolation::{Schema, ids, kind, named, unknown};
use crate::support::{TestApp, User};

/// What a field's description says that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Scope(Scope),
    Any,
    OfItsKind,
    Session,
}

/// The last line of a description (see `api/src/graphql/scope.rs`).
fn says(field: &FieldDefinition) -> Option<Says> {
    let text = &field.description.as_ref()?.node;
    match text.trim_end().lines().last()?.trim() {
        "Scope: any." => Some(Says::Any),
        "Scope: that of its kind." => Some(Says::OfItsKind),
        "For sessions only." => Some(Says::Session),
        line => {
            let name = line.strip_prefix("Scope: `")?.strip_suffix("`.")?;
            Scope::parse(name).map(Says::Scope)
        }
    }
}

/// What a way to a field needs, from its beginning to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Needs {
    scopes: BTreeSet<&'static str>,
    session: bool,
}

/// The fields that lead from a root to one field.
#[derive(Clone, Default)]
struct Way {
    operation: &'static str,
    steps: Vec<FieldDefinition>,
}

impl Way {
    fn then(&self, field: &FieldDefinition) -> Self {
        let mut way = self.clone();
        way.steps.push(field.clone());
        way
    }

    fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for step in &self.steps {
            match says(step).unwrap() {
                Says::Scope(scope) => {
                    needs.scopes.insert(scope.as_str());
                }
                // The walk asks for a contact there.
                Says::OfItsKind => {
                    needs.scopes.insert(Scope::ContactsRead.as_str());
                }
                Says::Session => needs.session = true,
                Says::Any => {}
            }
        }
        needs
    }

    fn path(&self) -> Vec<&str> {
        self.steps.iter().map(|step| step.name.node.as_str()).collect()
    }
}

/// The shortest way to each type of objects: by queries where there is one, else by a mutation, and then by one that is
/// for keys and finds something to tell.
fn ways(schema: &Schema) -> BTreeMap<String, Way> {
    let mut ways = BTreeMap::new();
    for (root, operation) in [("Query", "query"), ("Mutation", "mutation")] {
        let start = Way {
            operation,
            steps: Vec::new(),
        };
        ways.insert(root.to_owned(), start);
        let mut next = VecDeque::from([root.to_owned()]);
        while let Some(name) = next.pop_front() {
            let mut fields = schema.fields(&name);
            fields.sort_by_key(|field| {
                let ids = field
                    .arguments
                    .iter()
                    .any(|a| !schema.id_paths(&a.node, "").is_empty());
                (says(field) == Some(Says::Session), root == "Mutation" && !ids)
            });
            for field in fields {
                let inner = named(&field.ty.node);
                if !schema.fields(&inner).is_empty() && !ways.contains_key(&inner) {
                    ways.insert(inner.clone(), ways[&name].then(&field));
                    next.push_back(inner);
                }
            }
        }
    }
    ways
}

/// An operation that goes a way, ready to be sent.
struct Call {
    query: String,
    variables: Value,
    file: bool,
}

impl Call {
    /// What changes something names what nobody has, so that it can be said again and again.
    fn new(schema: &Schema, way: &Way, mine: &BTreeMap<&'static str, String>) -> Self {
        let last = way.steps.last().unwrap();
        let object =
            !schema.fields(&named(&last.ty.node)).is_empty() || schema.is_abstract(&named(&last.ty.node));
        let mut selection = if object { "{ __typename }" } else { "" }.to_owned();
        let (mut declared, mut variables, mut file) = (Vec::new(), Map::new(), false);
        for (index, step) in way.steps.iter().enumerate().rev() {
            let mut passed = Vec::new();
            for argument in &step.arguments {
                let argument = &argument.node;
                let ids = schema.id_paths(argument, "");
                let id = |path: &String| {
                    let id = &mine[kind(&step.name.node, path)];
                    if way.operation == "query" {
                        id.clone()
                    } else {
                        unknown(id)
                    }
                };
                let ids = ids.iter().map(|path| (path.clone(), id(path))).collect();
                let required = !argument.ty.node.nullable && argument.default_value.is_none();
                let value = required.then(|| schema.value(argument, "", &ids)).flatten();
                if let Some(value) = value {
                    file |= named(&argument.ty.node) == "Upload";
                    let name = &argument.name.node;
                    declared.push(format!("${name}{index}: {}", argument.ty.node));
                    passed.push(format!("{name}: ${name}{index}"));
                    variables.insert(format!("{name}{index}"), value);
                }
            }
            let passed = if passed.is_empty() {
                String::new()
            } else {
                format!("({})", passed.join(", "))
            };
            selection = format!("{}{passed} {selection}", step.name.node);
            if index > 0 {
                selection = format!("{{ {selection} }}");
            }
        }
        let declared = if declared.is_empty() {
            String::new()
        } else {
            format!("({})", declared.join(", "))
        };
        Self {
            query: format!("{} {declared} {{ {selection} }}", way.operation),
            variables: Value::Object(variables),
            file,
        }
    }

    async fn send(&self, app: &TestApp, token: Option<&str>) -> Value {
        let body = json!({ "query": self.query, "variables": self.variables });
        let request = app.post("/graphql").header("GraphQL-Require-Preflight", "1");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let request = if self.file {
            let file = Part::bytes(b"First Name\nAda\n".to_vec()).file_name("contacts.csv");
            let name = self.variables.as_object().unwrap().keys().next().unwrap();
            let map = json!({ "0": [format!("variables.{name}")] });
            let form = Form::new().text("operations", body.to_string());
            request.multipart(form.text("map", map.to_string()).part("0", file))
        } else {
            request.json(&body)
        };
        request.send().await.unwrap().json().await.unwrap()
    }
}

/// Whether an answer holds what stands at the end of a path, be it null.
fn reached(value: &Value, path: &[&str]) -> bool {
    match (value, path) {
        (_, []) => true,
        (Value::Array(items), path) => items.iter().any(|item| reached(item, path)),
        (Value::Object(fields), [first, rest @ ..]) => {
            fields.get(*first).is_some_and(|inner| reached(inner, rest))
        }
        _ => false,
    }
}

/// Who asks.
struct Role {
    name: String,
    token: Option<String>,
    /// A person: every scope, and what is for sessions only.
    session: bool,
    scopes: BTreeSet<&'static str>,
}

impl Role {
    fn may(&self, needs: &Needs) -> bool {
        self.session || (self.token.is_some() && !needs.session && needs.scopes.is_subset(&self.scopes))
    }

    /// Whether they were let through. Denied is denied for the right reason, and let through is without any error.
    fn was_let_in(&self, needs: &Needs, answer: &Value) -> bool {
        let Some(errors) = answer["errors"].as_array() else {
            return true;
        };
        let extensions = &errors[0]["extensions"];
        if self.token.is_none() {
            assert_eq!(extensions["code"], "UNAUTHENTICATED", "{answer:#}");
            return false;
        }
        assert_eq!(extensions["code"], "FORBIDDEN", "{}: {answer:#}", self.name);
        if let Some(scope) = extensions["scope"].as_str() {
            assert!(needs.scopes.contains(scope), "{}: {answer:#}", self.name);
            assert!(!self.scopes.contains(scope), "{}: {answer:#}", self.name);
        }
        false
    }
}

fn texts(scopes: impl Iterator<Item = Scope>) -> BTreeSet<&'static str> {
    scopes.map(Scope::as_str).collect()
}

fn every() -> impl Iterator<Item = Scope> {
    Scope::ALL.iter().copied()
}

async fn key(user: &User<'_>, name: &str, scopes: BTreeSet<&'static str>) -> Role {
    let list: Vec<&str> = scopes.iter().copied().collect();
    Role {
        name: name.to_owned(),
        token: Some(user.key(&list).await.token),
        session: false,
        scopes,
    }
}

/// A stranger, a person, and keys with nothing, with what reads, with what writes and with everything; then with each
/// scope alone, and last with everything but one, in the order of the table.
async fn roles(app: &TestApp, ada: &User<'_>) -> Vec<Role> {
    let nothing = key(ada, "nothing", texts(every().take(1))).await;
    let emptied =
        sqlx::query("UPDATE api_key SET scopes = '{}' WHERE name = 'Zapier' AND scopes = '{contacts:read}'");
    emptied.execute(&mut app.admin().await).await.unwrap();
    let mut roles = vec![
        Role {
            name: "stranger".to_owned(),
            token: None,
            session: false,
            scopes: BTreeSet::new(),
        },
        Role {
            name: "session".to_owned(),
            token: Some(ada.token.clone()),
            session: true,
            scopes: BTreeSet::new(),
        },
        Role {
            scopes: BTreeSet::new(),
            ..nothing
        },
        key(ada, "reads", texts(every().filter(|scope| scope.only_reads()))).await,
        key(ada, "writes", texts(every().filter(|scope| !scope.only_reads()))).await,
        key(ada, "all", texts(every())).await,
    ];
    for scope in every() {
        roles.push(key(ada, scope.as_str(), texts([scope].into_iter())).await);
    }
    for scope in every() {
        let others = texts(every().filter(|other| *other != scope));
        roles.push(key(ada, &format!("all but {}", scope.as_str()), others).await);
    }
    roles
}

/// One of everything that hangs on a contact.
async fn fill(ada: &User<'_>, mine: &BTreeMap<&'static str, String>) {
    let update =
        "mutation ($input: UpdateContactInput!) { updateContact(input: $input) { userErrors { message } } }";
    let filled = json!({
        "id": mine["contact"],
        "phones": [{ "number": "+12025550123" }],
        "addresses": [{ "city": "Berlin" }],
        "links": [{ "url": "https://example.test/" }],
        "affiliations": [{ "companyId": mine["company"], "from": { "year": 2020, "month": 2, "day": 29 } }],
        "dates": [{ "kind": "BIRTHDAY", "date": { "month": 2, "day": 29 } }],
    });
    let done = ada.gql(update, json!({ "input": filled })).await;
    assert_eq!(done["updateContact"]["userErrors"], json!([]));
}

const WIDTH: usize = 44;

/// The head of the table, which says how to read it.
fn legend() -> String {
    let mut text = "Who may ask for what, as it was tried out on every field.\n\n\
        ●  let in    ·  denied\n\n\
        A stranger has no credential, a session is a person's own; the rest are keys: with no scope, with those that\n\
        read, those that write, and all. The columns of the scopes say which of them the field can't be had without on\n\
        the way on which it was asked for (●), so also what the fields around it need.\n\n"
        .to_owned();
    for (index, scope) in every().enumerate() {
        text += &format!("  {:>2}  {}\n", index + 1, scope.as_str());
    }
    text += &format!("\n{:WIDTH$}stranger session  none reads writes all  ", "");
    for index in 1..=Scope::ALL.len() {
        text += &format!("{index:>3}");
    }
    text + "  asked as\n"
}

fn line(name: &str, let_in: &[bool], way: &Way) -> String {
    let mark = |yes: &bool| if *yes { '●' } else { '·' };
    let (people, keys) = let_in.split_at(6);
    let [stranger, session, none, reads, writes, all] = people else {
        panic!("six roles")
    };
    let mut text = format!(
        "{name:WIDTH$}    {}       {}      {}     {}     {}     {}    ",
        mark(stranger),
        mark(session),
        mark(none),
        mark(reads),
        mark(writes),
        mark(all)
    );
    // Denied with everything but this one, and let in with everything: needed.
    let all_but = &keys[Scope::ALL.len()..];
    for let_in in all_but {
        text += &format!("  {}", mark(&(*all && !let_in)));
    }
    format!("{text}  {}.{}\n", way.operation, way.path().join("."))
}

/// What each role is answered. A person who ends their sessions, or their account, is nobody who is asked again.
async fn ask(app: &TestApp, roles: &[Role], call: &Call, title: &str) -> Vec<Value> {
    let one = async |role: &Role| {
        if role.session && call.query.starts_with("mutation") {
            let name = title.replace('.', "-");
            let fresh = app.as_user(&name).await;
            app.give_passkey(&name, "Laptop").await;
            return call.send(app, Some(&fresh.token)).await;
        }
        call.send(app, role.token.as_deref()).await
    };
    if !call.file {
        return join_all(roles.iter().map(one)).await;
    }
    let mut answers = Vec::new();
    for role in roles {
        answers.push(one(role).await);
        // Only a few files may wait to be read.
        app.run_jobs().await;
    }
    answers
}

#[actix_web::test]
async fn every_field_is_denied_without_its_scope_and_says_which_it_is() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    app.give_passkey("ada", "Laptop").await;
    app.give_identities().await;
    let mine = ids(&ada).await;
    fill(&ada, &mine).await;
    let roles = roles(&app, &ada).await;
    let schema = Schema::read();
    let ways = ways(&schema);
    let mut table = legend();
    let roots = ["Query", "Mutation"].map(str::to_owned);
    let others = schema.0.keys().filter(|name| !roots.contains(name)).cloned();
    for name in roots.iter().cloned().chain(others) {
        for field in schema.fields(&name) {
            let title = format!("{name}.{}", field.name.node);
            assert!(says(&field).is_some(), "{title} does not say what it needs");
            let way = ways
                .get(&name)
                .unwrap_or_else(|| panic!("no way leads to {title}"));
            let way = way.then(&field);
            let needs = way.needs();
            let call = Call::new(&schema, &way, &mine);
            let answers = ask(&app, &roles, &call, &title).await;
            let mut let_in = Vec::new();
            for (role, answer) in roles.iter().zip(&answers) {
                let is_in = role.was_let_in(&needs, answer);
                assert_eq!(is_in, role.may(&needs), "{title} for {}: {answer:#}", role.name);
                assert!(
                    !is_in || reached(&answer["data"], &way.path()),
                    "{title} was not reached: {}\n{answer:#}",
                    call.query
                );
                let_in.push(is_in);
            }
            table += &line(&title, &let_in, &way);
            // So that nobody's budget ends.
            app.db.clock().advance(chrono::TimeDelta::seconds(10));
        }
    }
    insta::assert_snapshot!(table);
}

#[actix_web::test]
async fn no_mutation_is_for_who_only_reads() {
    let schema = Schema::read();
    for field in schema.fields("Mutation") {
        let needs = says(&field);
        let writes = match needs {
            Some(Says::Scope(scope)) => !scope.only_reads(),
            Some(Says::Session) => true,
            _ => false,
        };
        assert!(writes, "{}: {needs:?}", field.name.node);
    }
}

#[actix_web::test]
async fn a_node_needs_the_scope_of_its_kind() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    app.give_passkey("ada", "Laptop").await;
    app.give_identities().await;
    let mine = ids(&ada).await;
    let schema = Schema::read();
    let node = match &schema.0["Node"].kind {
        TypeKind::Interface(node) => node.fields[0].node.clone(),
        _ => panic!("an interface"),
    };
    assert_eq!(says(&node), Some(Says::OfItsKind));
    let roles = roles(&app, &ada).await;
    let mut kinds = BTreeSet::new();
    for id in mine.values() {
        let found = ada
            .gql(
                "query ($id: ID!) { node(id: $id) { __typename } }",
                json!({ "id": id }),
            )
            .await;
        let name = found["node"]["__typename"].as_str().unwrap().to_owned();
        let fields = schema.fields(&name);
        let id_field = fields.iter().find(|field| field.name.node == "id").unwrap();
        let needs = Way::default().then(id_field).needs();
        for (query, id) in [
            ("query ($id: ID!) { node(id: $id) { id } }", id.clone()),
            (
                "query ($id: ID!) { nodes(ids: [$id]) { __typename } }",
                id.clone(),
            ),
            // What is not there is denied like what is.
            ("query ($id: ID!) { node(id: $id) { __typename } }", unknown(id)),
        ] {
            let call = Call {
                query: query.to_owned(),
                variables: json!({ "id": id }),
                file: false,
            };
            for role in &roles {
                let answer = call.send(&app, role.token.as_deref()).await;
                let is_in = role.was_let_in(&needs, &answer);
                assert_eq!(is_in, role.may(&needs), "{name} for {}: {answer:#}", role.name);
            }
        }
        kinds.insert(name);
        app.db.clock().advance(chrono::TimeDelta::seconds(10));
    }
    let is_node = |kind: &TypeKind| matches!(kind, TypeKind::Object(object) if object.implements.iter().any(|name| name.node == "Node"));
    let nodes = schema
        .0
        .iter()
        .filter(|(_, definition)| is_node(&definition.kind));
    let nodes: BTreeSet<String> = nodes.map(|(name, _)| name.clone()).collect();
    assert_eq!(kinds, nodes, "each kind of node was asked for");
}

#[actix_web::test]
async fn who_only_writes_does_not_see_what_was_written() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    app.give_passkey("ada", "Laptop").await;
    app.give_identities().await;
    let mine = ids(&ada).await;
    let schema = Schema::read();
    let id = |kind: &str| json!(mine[kind]);
    for (mutation, field, name, scope, input) in [
        (
            "createContact",
            "contact",
            "Contact",
            "contacts:write",
            json!({ "givenName": "Eve" }),
        ),
        (
            "updateContact",
            "contact",
            "Contact",
            "contacts:write",
            json!({ "id": id("contact") }),
        ),
        (
            "createNote",
            "note",
            "Note",
            "notes:write",
            json!({ "contactId": id("contact"), "body": "x" }),
        ),
        (
            "updateTag",
            "tag",
            "Tag",
            "tags:write",
            json!({ "id": id("tag"), "name": "Friends" }),
        ),
        (
            "updateProfile",
            "user",
            "User",
            "profile:write",
            json!({ "name": "Ada" }),
        ),
    ] {
        let key = ada.key(&[scope]).await;
        let input_type = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
        for inner in schema.fields(name) {
            let object = !schema.fields(&named(&inner.ty.node)).is_empty();
            let leaf = if object { "{ __typename }" } else { "" };
            let query = format!(
                "mutation ($input: {input_type}!) {{ {mutation}(input: $input) \
                 {{ {field} {{ {} {leaf} }} userErrors {{ code }} }} }}",
                inner.name.node
            );
            let answer = key.answer(&query, json!({ "input": input })).await;
            let title = format!("{mutation}.{field}.{}", inner.name.node);
            let error = &answer["errors"][0];
            assert_eq!(error["extensions"]["code"], "FORBIDDEN", "{title}: {answer:#}");
            match says(&inner).unwrap() {
                Says::Scope(scope) => assert_eq!(error["extensions"]["scope"], scope.as_str(), "{title}"),
                Says::Session => assert!(error["extensions"]["scope"].is_null(), "{title}"),
                other => panic!("{title}: {other:?}"),
            }
            // It was done all the same, and the rest of the answer says so.
            assert_eq!(answer["data"][mutation]["userErrors"], json!([]), "{title}");
        }
    }
}
