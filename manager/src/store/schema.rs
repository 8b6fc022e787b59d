//! The tables as diesel sees them. Written by hand: one text for both engines, over our own column types.

#![allow(missing_docs, reason = "the columns are documented in the migrations")]

use super::sql_types::{TimestampColumn, UuidColumn};

diesel::table! {
    use diesel::sql_types::*;
    use super::{TimestampColumn, UuidColumn};

    vfolders (id) {
        id -> UuidColumn,
        name -> Text,
        owner_kind -> Text,
        owner_id -> Text,
        volume -> Text,
        status -> Text,
        status_reason -> Text,
        description -> Text,
        labels -> Text,
        member_permission -> Text,
        creator -> Text,
        create_time -> TimestampColumn,
        update_time -> TimestampColumn,
        delete_time -> Nullable<TimestampColumn>,
        purge_time -> Nullable<TimestampColumn>,
        revision -> BigInt,
        epoch -> BigInt,
        fenced_epoch -> BigInt,
        digest -> Text,
        digest_files -> BigInt,
        digest_bytes -> BigInt,
        digest_time -> Nullable<TimestampColumn>,
        max_bytes -> BigInt,
        max_files -> BigInt,
        mounted_revision -> BigInt,
        quota_untold -> Bool,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::{TimestampColumn, UuidColumn};

    operations (id) {
        id -> UuidColumn,
        kind -> Text,
        vfolder_id -> UuidColumn,
        source_id -> Nullable<UuidColumn>,
        volume -> Text,
        requester -> Text,
        state -> Text,
        attempt -> Integer,
        lease_owner -> Nullable<UuidColumn>,
        lease_expire_time -> Nullable<TimestampColumn>,
        retry_time -> TimestampColumn,
        cancel_requested -> Bool,
        epoch -> BigInt,
        files_done -> BigInt,
        files_total -> BigInt,
        bytes_done -> BigInt,
        bytes_total -> BigInt,
        files_per_second -> BigInt,
        bytes_per_second -> BigInt,
        error_reason -> Text,
        error_text -> Text,
        last_problem -> Text,
        create_time -> TimestampColumn,
        start_time -> Nullable<TimestampColumn>,
        end_time -> Nullable<TimestampColumn>,
        update_time -> TimestampColumn,
        owner -> Text,
        source_epoch -> BigInt,
        lease_time -> Nullable<TimestampColumn>,
        failing_since -> Nullable<TimestampColumn>,
        receipt -> Bool,
        digest -> Text,
        expected_digest -> Text,
        may_have_changed -> Bool,
        arguments -> Text,
        exceeded -> Text,
        failures -> Integer,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::{TimestampColumn, UuidColumn};

    mounts (id) {
        id -> UuidColumn,
        vfolder_id -> UuidColumn,
        session -> Text,
        mode -> Text,
        holder -> Text,
        create_time -> TimestampColumn,
        expire_time -> TimestampColumn,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::{TimestampColumn, UuidColumn};

    events (vfolder_id, sequence) {
        vfolder_id -> UuidColumn,
        sequence -> BigInt,
        time -> TimestampColumn,
        from_status -> Nullable<Text>,
        to_status -> Text,
        action -> Text,
        actor -> Text,
        operation_id -> Nullable<UuidColumn>,
        mount_id -> Nullable<UuidColumn>,
        reason -> Text,
        position -> Nullable<BigInt>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::{TimestampColumn, UuidColumn};

    requests (requester, request_id) {
        requester -> Text,
        request_id -> UuidColumn,
        fingerprint -> Text,
        operation_id -> UuidColumn,
        create_time -> TimestampColumn,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::TimestampColumn;

    volumes (name) {
        name -> Text,
        paused -> Bool,
        pause_reason -> Text,
        pause_actor -> Text,
        pause_time -> Nullable<TimestampColumn>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::TimestampColumn;

    owner_quotas (volume, owner_kind, owner_id) {
        volume -> Text,
        owner_kind -> Text,
        owner_id -> Text,
        max_bytes -> BigInt,
        max_files -> BigInt,
        revision -> BigInt,
        update_time -> TimestampColumn,
        untold -> Bool,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UuidColumn;

    feed (id) {
        id -> UuidColumn,
        last -> BigInt,
        horizon -> BigInt,
    }
}

diesel::joinable!(events -> vfolders (vfolder_id));
diesel::joinable!(mounts -> vfolders (vfolder_id));
diesel::joinable!(operations -> vfolders (vfolder_id));
diesel::allow_tables_to_appear_in_same_query!(events, mounts, operations, requests, vfolders);
