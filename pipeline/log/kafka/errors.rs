//! What librdkafka's errors mean for a worker: what to do, and what to tell the user.

use crate::log::{Class, LogError};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// The user's next step, for errors where there is one.
fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::RequestTimedOut => {
            "no broker answered in time: check `kafka.brokers`, that the brokers are up, and that \
             `kafka.properties.security.protocol` is theirs"
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            "no such topic or partition: create it first (`wellspring topics create`)"
        }
        Code::TopicAuthorizationFailed => "not allowed: grant this user Describe, Read and Write on the topic",
        Code::GroupAuthorizationFailed => "not allowed: grant this user Read on the group",
        Code::TransactionalIdAuthorizationFailed => "not allowed: grant this user Write on the transactional id",
        Code::ClusterAuthorizationFailed => "not allowed: grant this user IdempotentWrite on the cluster",
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend | Code::MessageTimedOut => {
            "the record was not taken in time: too few brokers of its partition are up (`min.insync.replicas`)"
        }
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
            "the broker refused the login: check `kafka.properties.security.protocol` and `kafka.properties.sasl.*`"
        }
        Code::SSL => "no secure connection: check `kafka.properties.security.protocol` and `kafka.properties.ssl.*`",
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            "a record is too large: raise the topic's `max.message.bytes` and `kafka.properties.message.max.bytes`"
        }
        Code::InvalidTransactionTimeout => {
            "lower `kafka.properties.transaction.timeout.ms` below the brokers' `transaction.max.timeout.ms`"
        }
        Code::FencedInstanceId => "another process has joined under the same name: give each its own `instance`",
        Code::UnreleasedInstanceId => {
            "the broker still holds a session of this name: start again when it has ended, or give another `instance`"
        }
        Code::InvalidRecord => "the broker refused a record (a compacted topic takes none without a key)",
        Code::PolicyViolation => "the brokers' policy forbids it",
        _ => return None,
    })
}

/// Errors that no repetition will mend. An unknown partition is none of them: a broker that has just come back knows none yet, and
/// topics that are really gone are found by who looks at them ([`crate::ground`]).
fn is_hopeless(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::SSL
            | Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidTransactionTimeout
            | Code::InvalidRecord
            | Code::PolicyViolation
            | Code::InvalidConfig
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::InvalidTopic
            | Code::UnsupportedVersion
    )
}

fn is_fencing(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId)
}

fn message(text: String, code: Option<Code>) -> String {
    match code.and_then(advice) {
        Some(advice) => format!("{advice} ({text})"),
        None => text,
    }
}

/// An error that ends the worker, or the start.
pub(super) fn fatal(context: String, error: &KafkaError) -> LogError {
    of_class(Class::Fatal, context, error)
}

/// An error of that class, but for errors that are hopeless.
pub(super) fn of_class(class: Class, context: String, error: &KafkaError) -> LogError {
    let code = error.rdkafka_error_code();
    let class = if code.is_some_and(is_hopeless) { Class::Fatal } else { class };
    let fenced = code.is_some_and(is_fencing);
    LogError { class, fenced, context, message: message(error.to_string(), code) }
}

/// An error of that code, with librdkafka's own words about it.
pub(super) fn of_reason(class: Class, context: String, code: Code, reason: String) -> LogError {
    LogError { message: message(reason, Some(code)), ..of_code(class, context, code) }
}

/// An error code outside of an error.
pub(super) fn of_code(class: Class, context: String, code: Code) -> LogError {
    of_class(class, context, &KafkaError::Global(code))
}

/// What a call of the transactional producer failed with. Where librdkafka says neither to retry nor to abort, the
/// outcome is not known.
pub(super) fn of_transaction(context: String, error: &KafkaError) -> LogError {
    let class = match error {
        KafkaError::Transaction(error) if error.is_fatal() => Class::Reopen,
        KafkaError::Transaction(error) if error.txn_requires_abort() => Class::Abortable,
        KafkaError::Transaction(error) if error.is_retriable() => Class::Retriable,
        // Records are still on their way; the commit itself has not begun.
        KafkaError::Flush(Code::OperationTimedOut) => Class::Retriable,
        _ => Class::Reopen,
    };
    let mut made = of_class(class, context, error);
    if let KafkaError::Transaction(error) = error {
        made.message = message(error.string(), Some(error.code()));
        // That is the consumer's, who learns of it by himself and joins again.
        made.fenced &= error.code() != Code::FencedInstanceId;
    }
    made
}
