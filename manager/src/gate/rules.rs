//! The rules: read from the method options in the descriptors, complete before the manager serves.

use std::collections::{BTreeMap, HashMap};

use prost::Message as _;
use prost_reflect::{
    DescriptorError, DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor, Value,
};
use vfolder_proto::v1::{
    Admission, ForeignAdmission, ServedBy, VFolderAccess, VFolderPermission, VFolderStatus,
};

use crate::model::{Access, Permission, Status};

/// What the gate checks before one RPC runs.
#[derive(Clone, Debug)]
pub struct Rule {
    /// "/package.Service/Method".
    pub path: String,
    /// What the status has to be good for, and where the vfolder's id is. None: the RPC has no vfolder as its target.
    pub target: Option<Target>,
    /// Callable without credentials.
    pub public: bool,
    /// Only for administrators.
    pub admin: bool,
    /// The storage-proxy of the vfolder's volume implements it.
    pub forwarded: bool,
    /// The request's message.
    pub input: MessageDescriptor,
    /// The client may send many messages, and none at first.
    pub client_streaming: bool,
}

/// The part of a rule that is about a vfolder.
#[derive(Clone, Debug)]
pub struct Target {
    /// What the status has to be good for.
    pub access: Access,
    /// The same, where the request asks to write.
    pub access_read_write: Access,
    /// The least permission.
    pub permission: Permission,
    /// The least permission where the request asks to write.
    pub permission_read_write: Permission,
    /// The path of the field with the vfolder's id.
    pub field: String,
    /// Where a request with `allow_missing` has nothing left to do.
    pub settled: Vec<Status>,
}

/// Why the rules are not complete. The manager does not start.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The descriptors don't decode.
    #[error("descriptors: {0}")]
    Descriptors(#[from] DescriptorError),
    /// A served service that no descriptor describes.
    #[error("service {0} is served but no descriptor describes it")]
    Undescribed(String),
    /// An RPC without a rule.
    #[error(
        "{0} has no admission rule: add `option (vfolder.v1.admission)` to it, or a foreign_admission for its service"
    )]
    Missing(String),
    /// A rule that makes no sense.
    #[error("{0}: {1}")]
    Wrong(String, String),
}

/// The rule of every RPC that is served.
#[derive(Clone, Debug)]
pub struct Rules(HashMap<String, Rule>);

impl Rules {
    /// Reads the rules of the services named in `served` from the encoded descriptor sets. Every RPC must have one.
    pub fn load<'a>(
        descriptors: &[&[u8]],
        served: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, RulesError> {
        let mut pool = DescriptorPool::new();
        for set in descriptors {
            pool.decode_file_descriptor_set(*set)?;
        }
        let foreign = foreign_rules(&pool)?;
        let mut rules = HashMap::new();
        for name in served {
            let service = pool
                .get_service_by_name(name)
                .ok_or_else(|| RulesError::Undescribed(name.to_owned()))?;
            let forwarded = is_forwarded(&service);
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                let admission = own_rule(&method)?
                    .or_else(|| foreign.get(&path[1..]).cloned())
                    .or_else(|| foreign.get(service.full_name()).cloned())
                    .ok_or_else(|| RulesError::Missing(path.clone()))?;
                let rule = interpret(&path, &method, admission, forwarded)?;
                rules.insert(path, rule);
            }
        }
        Ok(Self(rules))
    }

    /// The rule of an RPC. None: it is not served.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Rule> {
        self.0.get(path)
    }

    /// Every rule.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.values()
    }
}

/// The rule in the method's own options.
fn own_rule(method: &MethodDescriptor) -> Result<Option<Admission>, RulesError> {
    let options = method.options();
    let Some(extension) = method
        .parent_pool()
        .get_extension_by_name("vfolder.v1.admission")
    else {
        return Ok(None);
    };
    if !options.has_extension(&extension) {
        return Ok(None);
    }
    match options.get_extension(&extension).as_message() {
        Some(message) => transcode(method.full_name(), message).map(Some),
        None => Ok(None),
    }
}

/// The rules for services that come from elsewhere, by selector.
fn foreign_rules(pool: &DescriptorPool) -> Result<BTreeMap<String, Admission>, RulesError> {
    let mut rules = BTreeMap::new();
    let Some(extension) = pool.get_extension_by_name("vfolder.v1.foreign_admission") else {
        return Ok(rules);
    };
    for file in pool.files() {
        let options = file.options();
        let value = options.get_extension(&extension);
        for item in value.as_list().unwrap_or_default() {
            if let Value::Message(message) = item {
                let foreign: ForeignAdmission = transcode(file.name(), message)?;
                rules.insert(foreign.selector, foreign.rule.unwrap_or_default());
            }
        }
    }
    Ok(rules)
}

fn is_forwarded(service: &ServiceDescriptor) -> bool {
    let Some(extension) = service
        .parent_pool()
        .get_extension_by_name("vfolder.v1.served_by")
    else {
        return false;
    };
    service.options().get_extension(&extension).as_enum_number()
        == Some(ServedBy::StorageProxy as i32)
}

fn transcode<T: prost::Message + Default>(
    what: &str,
    message: &DynamicMessage,
) -> Result<T, RulesError> {
    T::decode(message.encode_to_vec().as_slice())
        .map_err(|e| RulesError::Wrong(what.to_owned(), e.to_string()))
}

fn interpret(
    path: &str,
    method: &MethodDescriptor,
    admission: Admission,
    forwarded: bool,
) -> Result<Rule, RulesError> {
    let wrong = |why: String| RulesError::Wrong(path.to_owned(), why);
    let target = match access(admission.access()) {
        Some(None) => None,
        Some(Some(access)) => {
            let permission = permission(admission.permission())
                .ok_or_else(|| wrong("the rule names no permission".into()))?;
            let field = match admission.target.as_str() {
                "" => "vfolder_id",
                field => field,
            };
            check_field(&method.input(), field).map_err(wrong)?;
            Some(Target {
                access,
                access_read_write: self::access(admission.access_read_write())
                    .flatten()
                    .unwrap_or(access),
                permission,
                permission_read_write: self::permission(admission.permission_read_write())
                    .unwrap_or(permission),
                field: field.to_owned(),
                settled: admission.settled().filter_map(status).collect(),
            })
        }
        None => return Err(wrong("the rule names no access kind".into())),
    };
    if forwarded && target.is_none() {
        return Err(wrong(
            "a forwarded RPC needs a vfolder as its target".into(),
        ));
    }
    if admission.public && target.is_some() {
        return Err(wrong("an RPC on a vfolder can't be public".into()));
    }
    Ok(Rule {
        path: path.to_owned(),
        target,
        public: admission.public,
        admin: admission.admin,
        forwarded,
        input: method.input(),
        client_streaming: method.is_client_streaming(),
    })
}

/// Whether the path leads to a string.
fn check_field(input: &MessageDescriptor, path: &str) -> Result<(), String> {
    let mut message = input.clone();
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        let field = message
            .get_field_by_name(part)
            .ok_or_else(|| format!("{} has no field {part}", message.full_name()))?;
        match (field.kind(), parts.peek()) {
            (prost_reflect::Kind::String, None) if !field.is_list() => return Ok(()),
            (prost_reflect::Kind::Message(inner), Some(_)) if !field.is_list() => message = inner,
            _ => return Err(format!("the target {path} is no string field")),
        }
    }
    Err("the target is empty".into())
}

/// The access kind of a rule. None: it names none; Some(None): the RPC has no target.
fn access(access: VFolderAccess) -> Option<Option<Access>> {
    Some(match access {
        VFolderAccess::VfolderAccessUnspecified => return None,
        VFolderAccess::None => None,
        VFolderAccess::Metadata => Some(Access::Metadata),
        VFolderAccess::Readable => Some(Access::Readable),
        VFolderAccess::Writable => Some(Access::Writable),
        VFolderAccess::Updatable => Some(Access::Updatable),
        VFolderAccess::Clonable => Some(Access::Clonable),
        VFolderAccess::Mountable => Some(Access::Mountable),
        VFolderAccess::Deletable => Some(Access::Deletable),
        VFolderAccess::Restorable => Some(Access::Restorable),
        VFolderAccess::Purgable => Some(Access::Purgable),
    })
}

/// The permission level of the wire's.
#[must_use]
pub fn permission(permission: VFolderPermission) -> Option<Permission> {
    match permission {
        VFolderPermission::VfolderPermissionUnspecified => None,
        VFolderPermission::Read => Some(Permission::Read),
        VFolderPermission::Write => Some(Permission::Write),
        VFolderPermission::Delete => Some(Permission::Delete),
        VFolderPermission::Own => Some(Permission::Own),
    }
}

/// The status of the wire's.
#[must_use]
pub fn status(status: VFolderStatus) -> Option<Status> {
    Some(match status {
        VFolderStatus::VfolderStatusUnspecified => return None,
        VFolderStatus::Creating => Status::Creating,
        VFolderStatus::Ready => Status::Ready,
        VFolderStatus::Performing => Status::Performing,
        VFolderStatus::Cloning => Status::Cloning,
        VFolderStatus::Mounted => Status::Mounted,
        VFolderStatus::Trashed => Status::Trashed,
        VFolderStatus::Deleting => Status::Deleting,
        VFolderStatus::Deleted => Status::Deleted,
        VFolderStatus::Error => Status::Error,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn load(served: &[&str]) -> Result<Rules, RulesError> {
        Rules::load(
            &[
                vfolder_proto::DESCRIPTORS,
                tonic_health::pb::FILE_DESCRIPTOR_SET,
            ],
            served.iter().copied(),
        )
    }

    #[test]
    fn an_rpc_without_a_rule_stops_the_start() {
        // The storage-proxy's own service declares no rules: nobody should serve it from behind the gate.
        let error = load(&["vfolder.storage.v1.StorageService"]).unwrap_err();
        assert!(
            matches!(error, RulesError::Missing(path) if path.starts_with("/vfolder.storage.v1.StorageService/"))
        );
        assert!(matches!(
            load(&["vfolder.v1.NoSuchService"]).unwrap_err(),
            RulesError::Undescribed(_)
        ));
    }

    #[test]
    fn rules_are_what_the_proto_files_say() {
        let rules = load(&[
            "vfolder.v1.VFolderService",
            "vfolder.v1.FileService",
            "google.longrunning.Operations",
            "grpc.health.v1.Health",
        ])
        .unwrap();
        let update = rules
            .get("/vfolder.v1.VFolderService/UpdateVFolder")
            .unwrap();
        let target = update.target.as_ref().unwrap();
        assert_eq!(
            (target.access, target.permission, target.field.as_str()),
            (Access::Updatable, Permission::Own, "vfolder.id")
        );
        assert!(!update.forwarded && !update.public);
        let files = rules.get("/vfolder.v1.FileService/ListFiles").unwrap();
        assert!(files.forwarded);
        let check = rules.get("/grpc.health.v1.Health/Check").unwrap();
        assert!(check.public && check.target.is_none());
        let operation = rules
            .get("/google.longrunning.Operations/GetOperation")
            .unwrap();
        assert!(!operation.public && operation.target.is_none());
    }
}
