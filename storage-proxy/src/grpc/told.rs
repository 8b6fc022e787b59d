//! What tonic refuses by itself, before any of our code has seen it, in our words: every refusal has a reason.

use tonic::{Code, Status};
use vfolder_common::error::{Reason, Refusal};

/// What a status without details means, if it is one that tonic gives to requests that it can't read.
pub fn reasoned(status: &Status) -> Option<Refusal> {
    if !status.details().is_empty() {
        return None;
    }
    let said = status.message();
    let (reason, text) = match status.code() {
        Code::Internal => (
            Reason::MessageMalformed,
            format!("the message can't be read: {said}"),
        ),
        Code::OutOfRange => (
            Reason::MessageTooLarge,
            format!("the message is too large; send it in more parts: {said}"),
        ),
        Code::Unimplemented => (
            Reason::MethodUnknown,
            format!(
                "there is no such RPC here, or none in this encoding; `grpcurl ... list` shows those there are: {said}"
            ),
        ),
        _ => return None,
    };
    Some(Refusal::new(reason, text))
}
