//! The values of .NET's types in both encodings.

use core::fmt::Debug;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use signalr_client::{HubConnection, Timestamp};

use crate::{Failure, Outcome, Platform, Session, ensure_eq};

async fn echo<T>(
    connection: &HubConnection,
    method: &str,
    values: impl IntoIterator<Item = T>,
) -> Outcome
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    for value in values {
        ensure_eq!(connection.invoke::<T>(method, (&value,)).await?, value);
    }
    Ok(())
}

fn timestamp() -> Result<Timestamp, Failure> {
    Timestamp::new(1_577_934_245, 678_000_000).ok_or_else(|| "out of range".into())
}

pub(super) async fn every_simple_type_comes_back<R: Platform>(session: Session<R>) -> Outcome {
    let connection = &session.connect("/hub").await?;
    let longs = [
        0,
        -1,
        127,
        128,
        255,
        256,
        65535,
        65536,
        i64::from(i32::MAX),
        i64::from(i32::MIN),
        i64::MAX,
        i64::MIN,
    ];
    echo(connection, "EchoLong", longs).await?;
    echo(connection, "EchoUnsigned", [0, u64::MAX]).await?;
    echo(
        connection,
        "EchoDouble",
        [0.0, 0.1, -1e300, 5.0, f64::MIN_POSITIVE],
    )
    .await?;
    echo(connection, "EchoFloat", [0.1_f32, -5.0]).await?;
    echo(
        connection,
        "EchoDateTime",
        [timestamp()?, Timestamp::UNIX_EPOCH],
    )
    .await?;
    echo(
        connection,
        "EchoGuid",
        ["6f9619ff-8b86-d011-b42d-00cf4fc964ff".to_owned()],
    )
    .await?;
    echo(connection, "Echo", [Some(vec![Some(1), None])]).await?;
    if session.is_json() {
        json_forms(connection).await
    } else {
        message_pack_forms(connection).await
    }
}

async fn json_forms(connection: &HubConnection) -> Outcome {
    echo(connection, "EchoBytes", ["AP8K".to_owned(), String::new()]).await?;
    echo(connection, "EchoTimeSpan", ["01:02:03.5000000".to_owned()]).await?;
    echo(
        connection,
        "EchoDateTimeOffset",
        ["2020-01-02T03:04:05.678+02:00".to_owned()],
    )
    .await?;
    echo(connection, "EchoChar", ['x']).await?;
    echo(connection, "EchoDecimal", [1.5]).await?;
    echo(connection, "EchoColour", [5]).await
}

async fn message_pack_forms(connection: &HubConnection) -> Outcome {
    for size in [0, 1, 255, 256, 20_000] {
        echo(connection, "EchoBytes", [ByteBuf::from(vec![7; size])]).await?;
    }
    echo(connection, "EchoTimeSpan", [37_235_000_000_i64]).await?;
    echo(connection, "EchoDateTimeOffset", [(timestamp()?, 120)]).await?;
    echo(connection, "EchoChar", [u16::from(b'x')]).await?;
    echo(connection, "EchoDecimal", ["1.5".to_owned()]).await?;
    echo(connection, "EchoColour", [Colour::Green]).await
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Colour {
    Red,
    Green,
    Blue,
}

/// The record `Dto` of the reference server. Member names, bytes and enums differ between the encodings.
macro_rules! dto {
    ($name:ident, $case:literal, $bytes:ty, $colour:ty) => {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = $case)]
        struct $name {
            flag: bool,
            tiny: i8,
            number: i32,
            big: i64,
            unsigned: u64,
            single: f32,
            double: f64,
            text: Option<String>,
            bytes: Option<$bytes>,
            when: Timestamp,
            id: String,
            colour: $colour,
            maybe: Option<i32>,
            names: Option<Vec<String>>,
            map: Option<BTreeMap<String, i32>>,
            child: Option<Box<$name>>,
        }

        impl $name {
            fn sample(
                bytes: $bytes,
                colour: $colour,
                child_colour: $colour,
            ) -> Result<Self, Failure> {
                let child = Self {
                    flag: false,
                    tiny: 0,
                    number: 0,
                    big: 0,
                    unsigned: 0,
                    single: 0.0,
                    double: 0.0,
                    text: None,
                    bytes: None,
                    when: Timestamp::UNIX_EPOCH,
                    id: "00000000-0000-0000-0000-000000000000".into(),
                    colour: child_colour,
                    maybe: Some(7),
                    names: None,
                    map: None,
                    child: None,
                };
                Ok(Self {
                    flag: true,
                    tiny: -5,
                    number: i32::MIN,
                    big: i64::MIN,
                    unsigned: u64::MAX,
                    single: 0.5,
                    double: 0.1,
                    text: Some("t".into()),
                    bytes: Some(bytes),
                    when: timestamp()?,
                    id: "6f9619ff-8b86-d011-b42d-00cf4fc964ff".into(),
                    colour,
                    maybe: None,
                    names: Some(vec!["a".into(), "b".into()]),
                    map: Some(BTreeMap::from([("Key".into(), 1)])),
                    child: Some(Box::new(child)),
                })
            }
        }
    };
}

dto!(JsonDto, "camelCase", String, u8);
dto!(MessagePackDto, "PascalCase", ByteBuf, Colour);

pub(super) async fn a_record_of_every_type_comes_back<R: Platform>(session: Session<R>) -> Outcome {
    let connection = &session.connect("/hub").await?;
    if session.is_json() {
        echo(
            connection,
            "EchoDto",
            [JsonDto::sample("AP8K".into(), 9, 0)?],
        )
        .await
    } else {
        let bytes = ByteBuf::from(vec![0, 255, 10]);
        echo(
            connection,
            "EchoDto",
            [MessagePackDto::sample(bytes, Colour::Blue, Colour::Red)?],
        )
        .await
    }
}
