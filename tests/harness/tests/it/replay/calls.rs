//! Calls of every method of the test hubs, good and bad ones: put to the official server and to ours, which must say the same.

use std::net::SocketAddr;

use serde_json::{Value, json};
use signalr_proto::{Payload, Protocol};

use super::web_socket::Caller;

/// What our server answers differently, and why.
pub(crate) const DIFFERENT: &[(&str, &str)] = &[
    (
        "json EchoFloat [1e39]",
        "too large for the type; .NET makes it infinite, cannot write that, and closes the connection",
    ),
    (
        r#"messagepack Echo [{"a":[1,null,"x",true]}]"#,
        "ours passes on the bytes as they came",
    ),
    (
        r#"messagepack SendToCaller ["M",{"a":[1,null,"x",true]}]"#,
        "as above",
    ),
];

/// Methods with their arguments. A `~` marks streams, `^` calls with one upload, whose items are the last argument.
const CALLS: &str = r#"
Echo [null]
Echo [{"a":[1,null,"x",true]}]
EchoText ["é漢😀"]
EchoText [null]
EchoText [5]
EchoText [["a"]]
EchoLong [9223372036854775807]
EchoLong [9223372036854775808]
EchoLong [1.5]
EchoLong ["1"]
EchoLong [null]
EchoUnsigned [18446744073709551615]
EchoUnsigned [-1]
EchoDouble [0.1]
EchoDouble [5]
EchoDouble ["1"]
EchoFloat [0.5]
EchoFloat [true]
Add [1,2]
add [2147483647,1]
Add [1]
Add [1,2,3]
Add ["1",2]
Concat ["a",null]
Concat [null,null]
CountNames [["a",null]]
CountNames [null]
DoNothing []
ReturnNull []
Slow [0,null]
Slow [-2,"a"]
FailWith ["é<>"]
FailWith [null]
FailWith [""]
FailInside ["x"]
renamed-method []
Renamed []
Nope []
ToString []
UserName []
Header ["none"]
Header [null]
Query ["COLOUR"]
Query ["twice"]
Query ["none"]
Query [null]
Transport []
Counter ["none"]
Counter [null]
AskCaller ["x"]
SendToCaller ["M",{"a":[1,null,"x",true]}]
SendToCaller [null,1]
SendToCaller ["",1]
SendMany ["M",1,"two",null]
Burst ["M",3]
Burst ["M",-1]
Flood ["M",2,3]
Flood ["M",1,-1]
SendToAll ["M",1]
SendToOthers ["M",1]
SendToClient ["nobody","M",1]
SendToClient [null,"M",1]
SendToUser ["nobody","M",1]
SendToUser [null,"M",1]
SendToGroup ["g","M",1]
SendToGroup [null,"M",1]
SendToOthersInGroup ["g","M",1]
JoinGroup ["g"]
SendToGroup ["g","M",2]
LeaveGroup ["g"]
LeaveGroup ["g"]
JoinGroup [null]
JoinGroup [""]
~Count [3,0]
~Count [-1,0]
~Count [2,-5]
~Letters ["a😀b"]
~Letters [null]
~Letters [""]
~CountThenFail [2]
~CountThenFail [-1]
~Add [1,2]
~Nope []
Count [1,0]
^Sum [[1,2,3]]
^Sum [[1,"x"]]
^Sum [[null]]
^UploadOutcome [[1,2]]
^UploadOutcome [[1,2.5]]
Sum []
"#;

/// In JSON alone: types that MessagePack writes otherwise.
const JSON: &str = r#"
EchoFloat [1e39]
EchoBytes ["AAEC"]
EchoBytes [""]
EchoBytes [null]
EchoBytes ["!!"]
EchoBytes ["AAE"]
EchoBytes ["A A E C"]
EchoBytes [[1,2]]
EchoDateTime ["2020-01-02T03:04:05.678Z"]
EchoDateTime ["2020-01-02T03:04:05"]
EchoDateTime ["2020-01-02"]
EchoDateTime ["2020-01-02T03:04:05+02:00"]
EchoDateTime ["2020-01-02T03:04:05.1234567Z"]
EchoDateTime ["0001-01-01T00:00:00"]
EchoDateTime ["nonsense"]
EchoDateTime [null]
EchoDateTimeOffset ["2020-01-02T03:04:05.678Z"]
EchoDateTimeOffset ["2020-01-02"]
EchoDateTimeOffset ["2020-01-02T03:04:05-02:30"]
EchoDateTimeOffset ["nonsense"]
EchoTimeSpan ["1.02:03:04.5000000"]
EchoTimeSpan ["-00:00:01"]
EchoTimeSpan ["00:00:00.1"]
EchoTimeSpan ["1:2:3"]
EchoTimeSpan ["25:00:00"]
EchoTimeSpan ["5"]
EchoTimeSpan ["10675199.02:48:05.4775807"]
EchoTimeSpan [5]
EchoTimeSpan [" 01:02:03"]
EchoGuid ["6F9619FF-8B86-D011-B42D-00CF4FC964FF"]
EchoGuid ["6f9619ff8b86d011b42d00cf4fc964ff"]
EchoGuid ["{6f9619ff-8b86-d011-b42d-00cf4fc964ff}"]
EchoGuid [null]
EchoChar ["é"]
EchoChar ["ab"]
EchoChar [""]
EchoChar ["😀"]
EchoChar [65]
EchoDecimal [1.5]
EchoDecimal [1e28]
EchoDecimal [1e30]
EchoDecimal ["1.5"]
EchoColour [5]
EchoColour [7]
EchoColour [-1]
EchoColour ["Red"]
EchoDto [null]
EchoDto [{}]
EchoDto [{"FLAG":true,"NuMbEr":3}]
EchoDto [{"names":[null,"a"]}]
EchoDto [{"map":{"A":1,"b":2}}]
EchoDto [{"child":{"child":null}}]
EchoDto [{"when":null}]
EchoDto [{"flag":null}]
EchoDto [{"colour":"Red"}]
EchoDto [{"unknown":{"a":[1]}}]
EchoDto [{"tiny":128}]
EchoDto [[]]
EchoDto [{"single":0.5,"double":0.1,"big":9007199254740991}]
"#;

/// In MessagePack alone, with the one argument as hexadecimal digits.
const PACKED: &[(&str, &str)] = &[
    ("EchoBytes", "c403000102"),
    ("EchoBytes", "c400"),
    ("EchoBytes", "c0"),
    ("EchoBytes", "93000102"),
    ("EchoBytes", "a26162"),
    ("EchoBytes", "05"),
    // Timestamps of 32, 64 and 96 bits, the first that .NET knows, a text, an extension of another type.
    ("EchoDateTime", "d6ff5e0d5f05"),
    ("EchoDateTime", "d7ffa1a48a005e0d5f05"),
    ("EchoDateTime", "c70cff00000000fffffff1886e0900"),
    ("EchoDateTime", "aa323032302d30312d3032"),
    ("EchoDateTime", "d6055e0d5f05"),
    ("EchoDateTime", "c0"),
    ("EchoDateTimeOffset", "92d6ff5e0d5f0578"),
    ("EchoDateTimeOffset", "92d6ff5e0d5f05d0e2"),
    ("EchoDateTimeOffset", "d6ff5e0d5f05"),
    ("EchoTimeSpan", "ce3b9aca00"),
    ("EchoTimeSpan", "ff"),
    ("EchoTimeSpan", "a830313a30323a3033"),
    (
        "EchoGuid",
        "d92436463936313946462d384238362d443031312d423432442d303043463446433936344646",
    ),
    (
        "EchoGuid",
        "d9203666393631396666386238366430313162343264303063663466633936346666",
    ),
    ("EchoGuid", "c41000000000000000000000000000000000"),
    ("EchoChar", "41"),
    ("EchoChar", "cd00e9"),
    ("EchoChar", "ce00010000"),
    ("EchoChar", "a161"),
    ("EchoDecimal", "a3312e35"),
    ("EchoDecimal", "a4312e3530"),
    ("EchoDecimal", "a3316533"),
    ("EchoDecimal", "cb3ff8000000000000"),
    ("EchoDecimal", "05"),
    ("EchoColour", "a3526564"),
    ("EchoColour", "a5477265656e"),
    ("EchoColour", "a137"),
    ("EchoColour", "a3526f64"),
    ("EchoColour", "05"),
    ("EchoDto", "c0"),
    ("EchoDto", "80"),
    ("EchoDto", "82a4466c6167c3a64e756d62657203"),
    ("EchoDto", "81a4666c6167c3"),
    ("EchoDto", "81a54e616d657392c0a161"),
    ("EchoDto", "81a34d617081a14101"),
    ("EchoDto", "81a54368696c6480"),
    ("EchoDto", "81a4466c6167c0"),
    ("EchoDto", "81a6436f6c6f7572a4426c7565"),
    ("EchoDto", "81a754696e79cc80"),
    ("EchoDto", "90"),
    // A text that is longer than its message.
    ("EchoText", "d920616263"),
    ("Echo", "c403000102"),
    ("Echo", "d6ff5e0d5f05"),
    ("Echo", "ca3f000000"),
];

/// Puts every call to both servers and gives what was answered differently.
pub(crate) async fn compare(theirs: SocketAddr, ours: SocketAddr) -> Vec<(String, String)> {
    let mut different = Vec::new();
    for protocol in Protocol::ALL {
        let hub = "/hub?colour=red&twice=1&twice=2";
        let mut theirs = Caller::connect(theirs, hub, protocol).await;
        let mut ours = Caller::connect(ours, hub, protocol).await;
        for call in calls(protocol) {
            let (expected, actual) = (theirs.ask(&call).await, ours.ask(&call).await);
            if expected != actual {
                let name = format!("{} {}", protocol.name(), call.name);
                different.push((name, format!("{actual:?}\n  instead of {expected:?}")));
            }
        }
    }
    different
}

pub(crate) fn count() -> usize {
    Protocol::ALL
        .into_iter()
        .map(|protocol| calls(protocol).len())
        .sum()
}

/// One call.
pub(crate) struct Call {
    name: String,
    pub(crate) streams: bool,
    pub(crate) target: String,
    /// The list of arguments as the protocol writes it.
    pub(crate) arguments: Vec<u8>,
    /// The items of its upload, if it has one.
    pub(crate) upload: Option<Vec<Vec<u8>>>,
}

fn calls(protocol: Protocol) -> Vec<Call> {
    let lines = |text: &'static str| text.lines().filter(|line| !line.is_empty());
    let common = lines(CALLS).map(|line| written(protocol, line));
    match protocol {
        Protocol::MessagePack => common.chain(PACKED.iter().map(packed)).collect(),
        Protocol::Json | _ => common
            .chain(lines(JSON).map(|line| written(protocol, line)))
            .collect(),
    }
}

fn written(protocol: Protocol, line: &str) -> Call {
    let (target, text) = line.split_once(' ').unwrap();
    let mut arguments: Value = serde_json::from_str(text).unwrap();
    let bytes = |value: &Value| {
        let payload = Payload::from_value(protocol, value).unwrap();
        payload.as_bytes().to_vec()
    };
    let upload = target.starts_with('^').then(|| {
        let items = arguments.as_array_mut().unwrap().pop().unwrap();
        items.as_array().unwrap().iter().map(bytes).collect()
    });
    Call {
        name: line.to_owned(),
        streams: target.starts_with('~'),
        target: target.trim_start_matches(['~', '^']).to_owned(),
        // As it stands there, for numbers that have several forms.
        arguments: if protocol == Protocol::Json && upload.is_none() {
            text.as_bytes().to_vec()
        } else {
            bytes(&arguments)
        },
        upload,
    }
}

fn packed((target, digits): &(&str, &str)) -> Call {
    let argument = super::web_socket::unhex(digits);
    Call {
        name: format!("{target} {digits}"),
        streams: false,
        target: (*target).to_owned(),
        arguments: [&[0x91], argument.as_slice()].concat(),
        upload: None,
    }
}

impl Call {
    /// The call as messages, under an id.
    pub(crate) fn messages(&self, protocol: Protocol, id: &str) -> Vec<Vec<u8>> {
        let kind = if self.streams { 4 } else { 1 };
        let streams: Vec<&str> = self.upload.iter().map(|_| "upload").collect();
        let raw = |value: Value| {
            let payload = Payload::from_value(protocol, &value).unwrap();
            payload.as_bytes().to_vec()
        };
        let mut messages = Vec::new();
        if protocol == Protocol::Json {
            let arguments = String::from_utf8_lossy(&self.arguments);
            let (target, streams) = (json!(self.target), json!(streams));
            messages.push(
                format!(r#"{{"type":{kind},"invocationId":"{id}","target":{target},"arguments":{arguments},"streamIds":{streams}}}"#)
                    .into_bytes(),
            );
            for item in self.upload.iter().flatten() {
                let item = String::from_utf8_lossy(item);
                messages
                    .push(format!(r#"{{"type":2,"invocationId":"upload","item":{item}}}"#).into());
            }
            if self.upload.is_some() {
                messages.push(br#"{"type":3,"invocationId":"upload"}"#.to_vec());
            }
            return messages;
        }
        let start = [
            &[0x96],
            &raw(json!(kind))[..],
            &[0x80],
            &raw(json!(id)),
            &raw(json!(self.target)),
        ];
        messages.push([&start.concat()[..], &self.arguments, &raw(json!(streams))].concat());
        for item in self.upload.iter().flatten() {
            let start = [&[0x94, 0x02, 0x80][..], &raw(json!("upload")), item];
            messages.push(start.concat());
        }
        if self.upload.is_some() {
            // Of the kind without a result.
            messages.push([&[0x94, 0x03, 0x80][..], &raw(json!("upload")), &[0x02]].concat());
        }
        messages
    }
}
