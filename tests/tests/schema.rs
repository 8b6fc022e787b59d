//! The two migration trees: the same schema, clean both ways.

use std::{collections::BTreeMap, fs};

use vfolder_manager::store::migrate::{Direction, migrate};
use vfolder_tests::{Binaries, Database, Engine, Place, make_root, on_each_engine, on_postgres};

async fn fresh(engine: Engine) -> (Place, Database) {
    let place = make_root("schema").unwrap();
    let database = Database::create(engine, place.path(), &Binaries::beside_us()).await;
    (place, database)
}

/// table.column → (type, not null), with each engine's types in one vocabulary.
async fn columns(database: &Database) -> BTreeMap<String, (String, bool)> {
    let query = match database.engine() {
        Engine::Sqlite => {
            "SELECT m.name || '.' || c.name || ' ' || c.type || ' ' || c.\"notnull\" AS value
             FROM sqlite_master m, pragma_table_info(m.name) c
             WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND m.name NOT LIKE 'sqlite%'"
        }
        Engine::Postgres => {
            "SELECT table_name || '.' || column_name || ' ' || replace(upper(data_type), ' ', '_') || ' '
                    || CASE is_nullable WHEN 'NO' THEN '1' ELSE '0' END AS value
             FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'"
        }
    };
    let mut columns = BTreeMap::new();
    for row in database.values(query).await {
        let parts: Vec<&str> = row.split(' ').collect();
        columns.insert(parts[0].to_owned(), (parts[1].to_owned(), parts[2] == "1"));
    }
    columns
}

async fn indexes(database: &Database) -> Vec<String> {
    let query = match database.engine() {
        Engine::Sqlite => {
            "SELECT name AS value FROM sqlite_master
             WHERE type = 'index' AND name NOT LIKE 'sqlite%' ORDER BY name"
        }
        Engine::Postgres => {
            "SELECT indexname::text AS value FROM pg_indexes
             WHERE schemaname = 'public' AND indexname NOT LIKE '%\\_pkey' AND indexname NOT LIKE '%\\_key'
             ORDER BY indexname"
        }
    };
    database.values(query).await
}

async fn both_trees_give_the_same_schema(_postgres: Engine) {
    let (_p, sqlite) = fresh(Engine::Sqlite).await;
    let (_q, postgres) = fresh(Engine::Postgres).await;
    let expected: BTreeMap<String, (String, bool)> = columns(&postgres)
        .await
        .into_iter()
        .map(|(name, (kind, required))| {
            let kind = match kind.as_str() {
                "UUID" => "TEXT".to_owned(),
                "TIMESTAMP_WITH_TIME_ZONE" => "BIGINT".to_owned(),
                _ => kind,
            };
            (name, (kind, required))
        })
        .collect();
    assert!(expected.len() > 50, "{expected:?}");
    assert_eq!(columns(&sqlite).await, expected);
    assert_eq!(indexes(&sqlite).await, indexes(&postgres).await);
}

async fn up_and_down_and_up_is_clean(engine: Engine) {
    let (_place, database) = fresh(engine).await;
    let before = (columns(&database).await, indexes(&database).await);
    let all = migrate(&database.url(), Direction::Look).await.unwrap();
    assert!(all.pending.is_empty(), "{all:?}");
    let trees = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/sqlite");
    let count = fs::read_dir(trees).unwrap().count();
    let revert = Direction::Revert(count.try_into().unwrap());
    let down = migrate(&database.url(), revert).await.unwrap();
    assert_eq!((down.done.len(), down.pending.len()), (count, count));
    assert!(columns(&database).await.is_empty());
    let up = migrate(&database.url(), Direction::Up).await.unwrap();
    assert_eq!(up.done.len(), count);
    assert_eq!((columns(&database).await, indexes(&database).await), before);
}

on_postgres!(both_trees_give_the_same_schema);
on_each_engine!(up_and_down_and_up_is_clean);
