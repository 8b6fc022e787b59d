//! The databases that every test runs on.

/// A database engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file of the test's own.
    Sqlite,
    /// A database of the test's own, in a private cluster.
    Postgres,
}

/// Makes of each `async fn name(engine: Engine)` the tests `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! on_each_engine {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                $crate::run(super::$name($crate::Engine::Sqlite));
            }
            #[test]
            fn postgres() {
                $crate::run(super::$name($crate::Engine::Postgres));
            }
        }
    )+};
}

/// Makes of each `async fn name(engine: Engine)` the test `name::postgres`: for what SQLite is not for.
#[macro_export]
macro_rules! on_postgres {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn postgres() {
                $crate::run(super::$name($crate::Engine::Postgres));
            }
        }
    )+};
}

/// Makes of each `async fn name(engine: Engine)` the test `name::sqlite`: for what PostgreSQL does not need.
#[macro_export]
macro_rules! on_sqlite {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                $crate::run(super::$name($crate::Engine::Sqlite));
            }
        }
    )+};
}
