//! Quotas.

use vfolder_proto::v1::{
    GetOwnerQuotaRequest, ListOwnerQuotasRequest, Owner, SetOwnerQuotaRequest,
};

use super::{GARBAGE, List, user};

pub(super) fn quotas(list: &mut List) {
    let (set, get) = (
        "vfolder.v1.QuotaService/SetOwnerQuota",
        "vfolder.v1.QuotaService/GetOwnerQuota",
    );
    list.add(set, "nobody", SetOwnerQuotaRequest::default(), &["owner"]);
    let everything = SetOwnerQuotaRequest {
        volume: "nowhere".into(),
        owner: user(""),
        max_bytes: -1,
        max_files: i64::MIN,
    };
    let fields = &["volume", "owner", "max_bytes", "max_files"];
    list.add(set, "everything", everything, fields);
    let request = GetOwnerQuotaRequest {
        volume: "nowhere".into(),
        owner: Some(Owner::default()),
    };
    list.add(get, "everything", request, &["volume", "owner"]);
    let request = ListOwnerQuotasRequest {
        volume: "nowhere".into(),
        page_size: -1,
        page_token: GARBAGE.into(),
    };
    list.add(
        "vfolder.v1.QuotaService/ListOwnerQuotas",
        "everything",
        request,
        &["volume", "page_size", "page_token"],
    );
}
