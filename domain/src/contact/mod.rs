//! People: what is kept of them, and every operation on them.

mod children;
pub mod input;
pub mod name;
mod read;
mod write;

pub use children::{AffiliationWithCompany, addresses, affiliations, dates, emails, links, phones, tags};
pub use entity::affiliation::Model as Affiliation;
pub use entity::contact::Model as Contact;
pub use entity::contact_address::Model as Address;
pub use entity::contact_date::Model as Date;
pub use entity::contact_email::Model as Email;
pub use entity::contact_link::Model as Link;
pub use entity::contact_phone::Model as Phone;
pub use read::{Filter, Order, OrderBy, count, get, get_many, list};
pub use write::{create, delete, tag, untag, update};
