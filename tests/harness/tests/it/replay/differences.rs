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
    (
        "stateful: reconnect with a second socket while the first lives",
        "ours lets the second take over: the first may be half open",
    ),
];

/// Over HTTP.
pub(crate) const HTTP: &[(&str, &str)] = &[
    (
        "lp poll pending at delete",
        "a client that asks to be forgotten is not asked to come back",
    ),
    (
        "auth connect as another user",
        "a connection belongs to who negotiated it",
    ),
    ("auth connect as the same user", "as above"),
    ("auth send as another user", "as above"),
    (
        "lp 200 kB garbage before the handshake",
        "a handshake that is too long is refused at once, not when its time is over",
    ),
];

/// What the official server itself answers now so, now otherwise.
pub(crate) const CHANCE: &[(&str, &str)] = &[(
    "lp poll pending at delete",
    "its Close message and the end of the poll run a race",
)];
