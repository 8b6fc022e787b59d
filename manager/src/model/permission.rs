//! Who may do what.

use std::time::SystemTime;

use super::text::text_enum;

text_enum! {
    /// What a caller may do with a vfolder. Ordered: each level includes the ones before it.
    Permission {
        /// See and read.
        Read = "READ",
        /// Also write.
        Write = "WRITE",
        /// Also trash and restore.
        Delete = "DELETE",
        /// Also change, hand over and purge.
        Own = "OWN",
    }
}

/// Whose vfolder it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A user, by the `sub` of the user's token.
    User(String),
    /// A project, by its id in the `projects` of its members' tokens.
    Project(String),
}

impl Owner {
    /// "user" or "project", as stored.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Project(_) => "project",
        }
    }

    /// Both in one: `user:<id>`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}:{}", self.kind(), self.id())
    }

    /// The user's or project's id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::User(id) | Self::Project(id) => id,
        }
    }
}

/// The user's id of what runs by itself. No token may bear it.
pub const SYSTEM: &str = "system";

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user's id.
    pub user: String,
    /// The projects that the user is a member of.
    pub projects: Vec<String>,
    /// May see and do everything.
    pub admin: bool,
    /// When the credentials expire. None: never.
    pub expires: Option<SystemTime>,
}

impl Caller {
    /// What runs by itself: sweepers, retention.
    #[must_use]
    pub fn system() -> Self {
        Self {
            user: SYSTEM.into(),
            projects: Vec::new(),
            admin: true,
            expires: None,
        }
    }

    /// What this caller may do with a vfolder of that owner, made by that creator, with that permission for members.
    /// None: the vfolder is not visible.
    #[must_use]
    pub fn permission(
        &self,
        owner: &Owner,
        creator: &str,
        members: Permission,
    ) -> Option<Permission> {
        if self.admin {
            return Some(Permission::Own);
        }
        match owner {
            Owner::User(user) => (*user == self.user).then_some(Permission::Own),
            // Who made a project's vfolder owns it only while still a member.
            Owner::Project(project) if self.projects.contains(project) => {
                Some(if creator == self.user {
                    Permission::Own
                } else {
                    members
                })
            }
            Owner::Project(_) => None,
        }
    }

    /// Whether this caller may hold vfolders in that owner's name.
    #[must_use]
    pub fn may_act_for(&self, owner: &Owner) -> bool {
        self.admin
            || match owner {
                Owner::User(user) => *user == self.user,
                Owner::Project(project) => self.projects.contains(project),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(user: &str, projects: &[&str], admin: bool) -> Caller {
        Caller {
            user: user.into(),
            projects: projects.iter().map(|p| (*p).into()).collect(),
            admin,
            expires: None,
        }
    }

    #[test]
    fn a_project_admits_its_members_and_nobody_else() {
        let owner = Owner::Project("p".into());
        let of = |c: Caller| c.permission(&owner, "maker", Permission::Write);
        assert_eq!(of(caller("maker", &["p"], false)), Some(Permission::Own));
        assert_eq!(of(caller("mate", &["p"], false)), Some(Permission::Write));
        assert_eq!(of(caller("maker", &["q"], false)), None);
        assert_eq!(of(caller("root", &[], true)), Some(Permission::Own));
    }

    #[test]
    fn a_users_vfolder_is_the_users_alone() {
        let owner = Owner::User("alice".into());
        let of = |c: Caller| c.permission(&owner, "bob", Permission::Own);
        assert_eq!(of(caller("alice", &[], false)), Some(Permission::Own));
        assert_eq!(of(caller("bob", &["alice"], false)), None);
    }
}
