//! Streams to clients and from them.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use signalr_server::{HubError, HubMethods, UploadStream};

use super::{TestHub, Text, This, World, null_reference};

pub(super) fn streams<const A: bool>(methods: &mut HubMethods<TestHub<A>>) {
    methods
        .stream("Count", async |hub: This<A>, up_to: i32, delay: i32| {
            let delay = u64::try_from(delay).unwrap_or_default();
            count(hub.world.clone(), up_to, Duration::from_millis(delay))
        })
        .stream("Letters", async |_: This<A>, text: Text| match text {
            Some(text) => Ok(stream::iter(letters(&text))),
            None => Err(null_reference()),
        })
        .stream("CountThenFail", async |_: This<A>, up_to: i32| {
            count_then_fail(up_to)
        })
        .on("Sum", async |_: This<A>, numbers: UploadStream<i32>| {
            sum(numbers).await
        })
        .on(
            "Join",
            async |_: This<A>,
                   left: UploadStream<Text>,
                   right: UploadStream<Text>,
                   separator: Text| join(left, right, separator).await,
        )
        .on(
            "JoinApart",
            async |_: This<A>,
                   left: UploadStream<Text>,
                   separator: Text,
                   right: UploadStream<Text>| { join(left, right, separator).await },
        )
        .on(
            "UploadOutcome",
            async |_: This<A>, numbers: UploadStream<i32>| upload_outcome(numbers).await,
        )
        .stream("Upper", async |_: This<A>, words: UploadStream<Text>| {
            words.map(|word| match word? {
                Some(word) => Ok::<_, HubError>(upper(&word)),
                None => Err(null_reference()),
            })
        });
}

/// Counts streams that are dropped before their end.
struct Counted {
    world: World,
    finished: bool,
}

impl Counted {
    fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.finished {
            self.world.add("cancelled-stream");
        }
    }
}

fn count(world: World, up_to: i32, delay: Duration) -> impl Stream<Item = i32> + Send {
    let counted = Counted {
        world,
        finished: false,
    };
    stream::unfold((0, counted), move |(number, counted)| async move {
        if number >= up_to {
            counted.finish();
            return None;
        }
        if !delay.is_zero() {
            counted.world.sleep(delay).await;
        }
        Some((number, (number + 1, counted)))
    })
}

/// The letters as .NET counts them: half of a surrogate pair is one, and cannot be written.
fn letters(text: &str) -> Vec<String> {
    text.encode_utf16()
        .map(|unit| String::from_utf16_lossy(&[unit]))
        .collect()
}

fn count_then_fail(up_to: i32) -> impl Stream<Item = Result<i32, HubError>> + Send {
    let failure = stream::once(async { Err(HubError::new("the stream failed")) });
    stream::iter((0..up_to).map(Ok)).chain(failure)
}

async fn collect(mut items: UploadStream<Text>) -> Result<Vec<String>, HubError> {
    let mut all = Vec::new();
    while let Some(item) = items.next().await {
        all.push(item?.unwrap_or_default());
    }
    Ok(all)
}

/// Reads one upload to its end and only then the other.
async fn join(
    left: UploadStream<Text>,
    right: UploadStream<Text>,
    separator: Text,
) -> Result<String, HubError> {
    let mut all = collect(left).await?;
    all.append(&mut collect(right).await?);
    Ok(all.join(&separator.unwrap_or_default()))
}

async fn sum(mut numbers: UploadStream<i32>) -> Result<i64, HubError> {
    let mut sum = 0;
    while let Some(number) = numbers.next().await {
        sum += i64::from(number?);
    }
    Ok(sum)
}

async fn upload_outcome(mut numbers: UploadStream<i32>) -> String {
    let mut count = 0;
    loop {
        match numbers.next().await {
            Some(Ok(_)) => count += 1,
            Some(Err(error)) => return format!("failed after {count}: {error}"),
            None => return format!("completed after {count}"),
        }
    }
}

/// The word in capitals, as .NET does it without regard to any language: letter by letter.
fn upper(word: &str) -> String {
    let one = |letter: char| {
        let mut capitals = letter.to_uppercase();
        match (capitals.next(), capitals.next()) {
            (Some(capital), None) => capital,
            _ => letter,
        }
    };
    word.chars().map(one).collect()
}
