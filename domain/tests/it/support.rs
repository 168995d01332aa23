//! Two users with a little of everything each.

use domain::contact::input::{AffiliationInput, Change, ContactInput, Labelled};
use domain::testing::{Login, TestDatabase};
use domain::{Db, Viewer, contact, note, tag};
use uuid::Uuid;

pub struct Two {
    pub database: TestDatabase,
    pub db: Db,
    pub ada: Viewer,
    pub bob: Viewer,
}

pub struct Everything {
    pub contact: Uuid,
    pub company: Uuid,
    pub tag: Uuid,
    pub note: Uuid,
}

impl Two {
    /// Both have a contact named after them.
    pub async fn new() -> Self {
        let database = TestDatabase::new().await;
        let db = database.connect(Login::Worker);
        let ada = database.user(&db).await;
        let bob = database.user(&db).await;
        for (viewer, name) in [(&ada, "Ada"), (&bob, "Bob")] {
            let tx = db.begin(viewer).await.unwrap();
            contact::create(&tx, person(name)).await.unwrap();
            tx.commit().await.unwrap();
        }
        Self {
            database,
            db,
            ada,
            bob,
        }
    }

    /// Ada, come by a session that is no more.
    pub fn ended_session(&self) -> Viewer {
        domain::testing::by_session(&self.ada, Uuid::from_u128(1))
    }

    /// The first contact of a viewer.
    pub async fn contact_of(&self, viewer: &Viewer) -> Uuid {
        let tx = self.db.read(viewer).await.unwrap();
        let page = domain::page::PageRequest::new(Some(1), None, None, None).unwrap();
        let list = contact::list(&tx, &contact::Filter::default(), contact::Order::default(), &page)
            .await
            .unwrap();
        list.items[0].id
    }
}

pub fn person(name: &str) -> ContactInput {
    ContactInput {
        given_name: Change::To(Some(name.to_owned())),
        emails: Some(vec![Labelled {
            label: Some("work".to_owned()),
            value: format!("{}@example.test", name.to_lowercase()),
        }]),
        phones: Some(vec![Labelled {
            label: None,
            value: "+1 202 555 0123".to_owned(),
        }]),
        affiliations: Some(vec![AffiliationInput {
            company_name: Some(format!("{name} & Co")),
            title: Some("Partner".to_owned()),
            ..AffiliationInput::default()
        }]),
        ..ContactInput::default()
    }
}

/// One of each for a viewer.
pub async fn everything(db: &Db, viewer: &Viewer) -> Everything {
    let tx = db.begin(viewer).await.unwrap();
    let tag = tag::create(&tx, "Friends").await.unwrap().id;
    let mut input = person("Eve");
    input.tags = Some(vec![tag]);
    let contact = contact::create(&tx, input).await.unwrap().id;
    let note = note::create(&tx, contact, "met at the fair", false)
        .await
        .unwrap()
        .id;
    let places = contact::affiliations(&tx, &[contact]).await.unwrap();
    let company = places[&contact][0].company.as_ref().unwrap().id;
    tx.commit().await.unwrap();
    Everything {
        contact,
        company,
        tag,
        note,
    }
}
