//! The story is told to its end: whoever could do what they may not would end it.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[tokio::test]
async fn rights_are_kept_while_tokens_expire() {
    let mut story = Vec::new();
    auth::tell(|line| story.push(line)).await.unwrap();
    assert_eq!(story.last().unwrap(), "the server has: make a plan, follow the plan");
}
