//! A person's place at a company, now or once.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "affiliation")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub owner_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub contact_id: Uuid,
    pub company_id: Option<Uuid>,
    pub position: i32,
    pub title: Option<String>,
    pub department: Option<String>,
    pub from_year: Option<i16>,
    pub from_month: Option<i16>,
    pub from_day: Option<i16>,
    pub to_year: Option<i16>,
    pub to_month: Option<i16>,
    pub to_day: Option<i16>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl crate::Owned for Entity {
    fn owner_column() -> Column {
        Column::OwnerId
    }
}
