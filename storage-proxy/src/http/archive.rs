//! GET and HEAD of an archive.

use std::convert::Infallible;

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, Version, header};
use vfolder_common::{error::Refusal, path::RelativePath, token::GrantMode};

use super::{address, answer::Refused, disposition, routes::Http};
use crate::{
    archive::Format,
    file::{granted, in_scope},
};

/// As DownloadArchive has it.
const MOST_PATHS: usize = 1_000;

/// Answers with an archive of the paths, made while it is sent. An archive that can't be finished breaks the connection
/// off: its end is missing, and whoever unpacks it is told.
pub async fn get(State(http): State<Http>, request: Request) -> Result<Response, Refused> {
    let uri = request.uri();
    let grant = request.extensions().get();
    let grant = granted(grant, address::vfolder(uri), GrantMode::ReadOnly)?;
    if request.version() < Version::HTTP_11 {
        return Err(too_old());
    }
    let format = format(uri)?;
    let paths = paths(uri)?;
    for path in &paths {
        in_scope(&grant, path)?;
    }
    let name = match &paths[..] {
        [one] => one.split_last().map(|(_, name)| name.into_bytes()),
        _ => None,
    };
    let mut name = name.unwrap_or_else(|| b"archive".to_vec());
    name.push(b'.');
    name.extend_from_slice(format.extension().as_bytes());
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(format.media_type()),
    );
    headers.insert(header::CONTENT_DISPOSITION, disposition::attachment(&name));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // It is made anew each time: no part of it can be asked for.
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    *response.body_mut() = if request.method() == Method::GET {
        Body::from_stream(http.files.archive(&grant, paths, format).await?)
    } else {
        http.files.look_for_archive(&grant, paths).await?;
        // Of a size that nobody knows: axum tells none, and sends nothing of it.
        Body::from_stream(futures_util::stream::empty::<Result<Bytes, Infallible>>())
    };
    Ok(response)
}

/// There the end of the connection is the end of the answer, and half an archive looks like a whole one.
fn too_old() -> Refused {
    let text = "HTTP/1.0 can't tell an archive that broke off from a whole one; ask by HTTP/1.1 (nginx: proxy_http_version 1.1)";
    Refused::from(Refusal::field("version", text))
        .with_status(StatusCode::HTTP_VERSION_NOT_SUPPORTED)
}

fn paths(uri: &Uri) -> Result<Vec<RelativePath>, Refusal> {
    let wanted = address::parameters(uri, "path")?;
    if wanted.len() > MOST_PATHS {
        return Err(Refusal::field(
            "path",
            format!("at most {MOST_PATHS} at once; name directories, or nothing for all"),
        ));
    }
    let parsed = wanted.iter().map(|path| RelativePath::parse(path));
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error| Refusal::field("path", error.to_string()))
}

fn format(uri: &Uri) -> Result<Format, Refusal> {
    let asked = address::parameters(uri, "format")?;
    let Some(asked) = asked.first() else {
        return Ok(Format::Zip);
    };
    let known = [Format::Zip, Format::Tar, Format::TarGz, Format::TarZst];
    known
        .into_iter()
        .find(|format| format.extension().as_bytes() == asked)
        .ok_or_else(|| Refusal::field("format", "must be zip, tar, tar.gz or tar.zst"))
}
