//! The schema: what HTTP is not and the domain is not. A resolver reads its arguments, calls the domain,
//! and wraps what comes back.

pub(crate) mod account;
pub(crate) mod api_key;
pub(crate) mod audit;
pub(crate) mod company;
pub(crate) mod connection;
pub(crate) mod contact;
pub(crate) mod deletion;
pub(crate) mod error;
pub(crate) mod import;
pub(crate) mod node;
pub(crate) mod note;
pub(crate) mod passkey;
pub(crate) mod reader;
pub(crate) mod scalars;
pub(crate) mod scope;
pub(crate) mod session;
pub(crate) mod sign_in;
pub(crate) mod tag;

use async_graphql::{EmptySubscription, MergedObject, Schema, SchemaBuilder};

/// What can be asked.
#[derive(MergedObject, Default)]
pub(crate) struct Query(
    account::AccountQuery,
    node::NodeQuery,
    contact::query::ContactQuery,
    company::CompanyQuery,
    tag::TagQuery,
    import::ImportQuery,
);

/// What can be done. Each mutation is one transaction: all of it happens, or nothing.
#[derive(MergedObject, Default)]
pub(crate) struct Mutation(
    contact::mutation::ContactMutation,
    tag::TagMutation,
    note::NoteMutation,
    import::ImportMutation,
    account::AccountMutation,
    session::SessionMutation,
    passkey::PasskeyMutation,
    deletion::DeletionMutation,
    sign_in::SignInMutation,
    api_key::ApiKeyMutation,
);

/// The schema before anything is added to it.
pub(crate) fn builder() -> SchemaBuilder<Query, Mutation, EmptySubscription> {
    Schema::build(Query::default(), Mutation::default(), EmptySubscription)
        .register_output_type::<node::Node>()
}

/// The schema in its own language, as it is committed.
#[must_use]
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items();
    builder().finish().sdl_with_options(options)
}
