//! Every route that is served, held against a committed list: none comes by itself, and none is left behind.
//! After a change: `INSTA_UPDATE=always` with this test, and review the difference.

use std::collections::BTreeSet;

use actix_web::dev::Service;
use actix_web::http::{Method, StatusCode};
use actix_web::{App, HttpRequest, test, web};
use domain::clock::Clock;
use domain::testing::{Login, TestDatabase};
use domain::{Config, Db};

const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Where this test asks the router.
const ASIDE: &str = "/-";

/// The patterns that the router knows. It shows them to a debugger alone.
async fn patterns(request: HttpRequest) -> String {
    let shown = format!("{:#?}", request.resource_map());
    assert_eq!(
        shown.matches("is_prefix: true").count(),
        1,
        "a scope, whose patterns do not stand alone"
    );
    assert!(
        !shown.contains("patterns: List("),
        "a resource of several patterns"
    );
    let single = shown.split("patterns: Single(").skip(1);
    let quoted = single.filter_map(|rest| rest.split('"').nth(1));
    quoted
        .filter(|pattern| !["", ASIDE].contains(pattern))
        .collect::<Vec<_>>()
        .join("\n")
}

async fn served(config: Config) -> String {
    let db = Db::connect(&config, "api", Clock::system()).unwrap();
    let app = api::app::App::new(config, db).unwrap();
    let routes = |config: &mut web::ServiceConfig| app.routes(config);
    let app = App::new().configure(routes).route(ASIDE, web::get().to(patterns));
    let app = test::init_service(app).await;
    let asked = test::TestRequest::with_uri(ASIDE);
    let patterns = test::call_and_read_body(&app, asked.to_request()).await;
    let mut routes = BTreeSet::new();
    for pattern in std::str::from_utf8(&patterns).unwrap().lines() {
        let path: String = pattern
            .split('{')
            .enumerate()
            .fold(String::new(), |path, (place, part)| {
                path + if place == 0 {
                    part
                } else {
                    "018f0000-0000-7000-8000-000000000001"
                } + if place == 0 {
                    ""
                } else {
                    part.split_once('}').unwrap().1
                }
            });
        for method in METHODS {
            let request = test::TestRequest::with_uri(&path).method(method.clone());
            let status = match app.call(request.to_request()).await {
                Ok(response) => response.status(),
                Err(error) => error.as_response_error().status_code(),
            };
            if !matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
                routes.insert(format!("{pattern} {method}"));
            }
        }
    }
    routes.into_iter().collect::<Vec<_>>().join("\n")
}

#[actix_web::test]
async fn every_route_is_on_the_list() {
    domain::crypto::install_crypto_provider();
    let database = TestDatabase::new().await;
    let production = [
        ("APP_ENV", "production"),
        ("PUBLIC_URL", "https://crm.example.test"),
        ("SMTP_URL", "smtps://mail.example.test"),
        ("MAIL_FROM", "crm@example.test"),
    ];
    let production = served(database.config(Login::Api, &production)).await;
    insta::assert_snapshot!(production);
    let development = served(database.config(Login::Api, &[])).await;
    let more: Vec<&str> = development
        .lines()
        .filter(|route| !production.lines().any(|other| other == *route))
        .collect();
    assert_eq!(
        more,
        [
            "/assets/graphiql.css GET",
            "/assets/graphiql.js GET",
            "/graphiql GET"
        ]
    );
}
