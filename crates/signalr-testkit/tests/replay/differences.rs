//! What our server answers differently, and why.

/// Over WebSockets.
pub(crate) const WEB_SOCKET: &[(&str, &str)] = &[
    (
        "unknown type 0 then add",
        "the official server forgets the message behind one of unknown type: a defect",
    ),
    ("negative type then add", "as above"),
    ("mp unknown type 99", "as above"),
    ("mp type 0", "as above"),
    (
        "cancellable invocation cancelled",
        "ours can be cancelled; .NET 10 does not even call it",
    ),
    ("mp text bin", "Rust's String takes bytes that are UTF-8"),
    (
        "mp object ext",
        "ours passes on what it need not understand",
    ),
    ("mp object map", "ours passes on the bytes as they came"),
    (
        "mp object uint16 small",
        "ours passes on the bytes as they came",
    ),
];

/// Over HTTP.
pub(crate) const HTTP: &[(&str, &str)] = &[];
