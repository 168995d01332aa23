//! GraphiQL, to try the API by hand, on a developer's machine alone. It comes in with the session of whoever is
//! signed in: its script fetches access tokens as a front end does, and keeps them in memory only.
//!
//! What is not ours comes from a CDN, pinned by version and by digest (Subresource Integrity), and the page
//! may load nothing else: see [`FILES`].

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType, REFERRER_POLICY};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::guard::page_viewer;
use super::identity::Identity;
use super::settings::refused;

const SCRIPT: &str = include_str!("../../templates/graphiql.js");
const STYLE: &str = include_str!("../../templates/graphiql.css");

/// A file of an npm package, as jsDelivr serves it to the letter.
struct File {
    /// The address: `https://cdn.jsdelivr.net/npm/PACKAGE@VERSION/PATH`, with the path as in the package.
    url: &'static str,
    /// `openssl dgst -sha384 -binary PATH | base64`.
    integrity: &'static str,
}

/// The npm packages react 18.3.1, react-dom 18.3.1 and graphiql 4.1.2, the last to be one plain script. A browser
/// test without the Internet answers these addresses with the same paths within `node_modules`.
struct Files {
    style: File,
    scripts: [File; 3],
}

const FILES: Files = Files {
    style: File {
        url: "https://cdn.jsdelivr.net/npm/graphiql@4.1.2/graphiql.min.css",
        integrity: "sha384-1el1QShFBnnXTx9x/Cprg82hZWKt0ry29OAYIXt05swbi0KcZDFoj0CWguMpopJr",
    },
    scripts: [
        File {
            url: "https://cdn.jsdelivr.net/npm/react@18.3.1/umd/react.production.min.js",
            integrity: "sha384-DGyLxAyjq0f9SPpVevD6IgztCFlnMF6oW/XQGmfe+IsZ8TqEiDrcHkMLKI6fiB/Z",
        },
        File {
            url: "https://cdn.jsdelivr.net/npm/react-dom@18.3.1/umd/react-dom.production.min.js",
            integrity: "sha384-gTGxhz21lVGYNMcdJOyq01Edg0jhn/c22nsx0kyqP0TxaV5WVdsSH1fSDUf5YJj1",
        },
        File {
            url: "https://cdn.jsdelivr.net/npm/graphiql@4.1.2/graphiql.min.js",
            integrity: "sha384-9XdHu7ajgGJziD4J1zNBKQ842Q/+zZfDv+ib1eMhZWBH6hPAs806x+Jbcf0yNO6B",
        },
    ],
};

#[derive(Template)]
#[template(path = "graphiql.html")]
struct Page {
    files: &'static Files,
}

/// Registers the page and what it loads from us. In development alone: elsewhere there is nothing there.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/graphiql").route(web::get().to(page)))
        .service(web::resource("/assets/graphiql.js").route(web::get().to(script)))
        .service(web::resource("/assets/graphiql.css").route(web::get().to(style)));
}

async fn page(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    if let Err(error) = page_viewer(&request, &identity).await {
        return refused(&error, "/graphiql");
    }
    let Ok(html) = (Page { files: &FILES }).render() else {
        return HttpResponse::InternalServerError().finish();
    };
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((CONTENT_SECURITY_POLICY, policy(&FILES)))
        .insert_header((REFERRER_POLICY, "same-origin"))
        .body(html)
}

/// Exactly these files. Styles may be inline: the editor and the menus place what they show by `style` elements
/// and attributes that they make. Fonts and images are within the style sheet.
fn policy(files: &Files) -> String {
    let scripts: Vec<&str> = files.scripts.iter().map(|file| file.url).collect();
    format!(
        "default-src 'none'; script-src 'self' {}; style-src 'self' {} 'unsafe-inline'; connect-src 'self'; \
         font-src data:; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
        scripts.join(" "),
        files.style.url,
    )
}

async fn script() -> HttpResponse {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

async fn style() -> HttpResponse {
    asset("text/css; charset=utf-8", STYLE)
}

fn asset(content_type: &str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(text)
}
