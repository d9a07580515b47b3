//! Templates that the runner does not understand are told with their line.

use local::template::{Overrides, Template};

fn error(text: &str) -> String {
    match Template::parse(text, &Overrides::default()) {
        Ok(_) => panic!("it was understood"),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn what_is_not_understood_is_named_with_its_line() {
    for (text, expected) in [
        (
            "Resources:\n  A:\n    Type: AWS::S3::Bucket\n",
            "line 3: the resource type AWS::S3::Bucket (of A) is not understood by the local stack",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::DynamoDB::Table\n    Properties:\n      TableName: !Select [0, [a]]\n",
            "line 5: the intrinsic function !Select is not understood here",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::DynamoDB::Table\n    Properties:\n      TableName:\n        Fn::ImportValue: x\n",
            "line 6: the intrinsic function Fn::ImportValue is not understood here",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::DynamoDB::Table\n    Properties:\n      TableName: !Ref Nothing\n",
            "line 5: there is no parameter or resource Nothing",
        ),
        (
            "Parameters:\n  P: {Type: String}\nResources:\n  A: {Type: AWS::KMS::Key}\n",
            "line 2: parameter P has no Default, and the local stack does not set it",
        ),
        ("Resources:\n  A:\n   - b\n  c\n", "line 5: simple key"),
        ("Outputs: {}\n", "it has no Resources"),
        ("", "it is empty"),
        (
            "Resources:\n  A:\n    Type: AWS::Scheduler::ScheduleGroup\n    Properties:\n      Name: !Ref B\n  B:\n    Type: AWS::Scheduler::ScheduleGroup\n    Properties:\n      Name: !Ref A\n",
            "line 5: this refers to itself",
        ),
    ] {
        let error = error(text);
        assert!(error.starts_with(expected) || error.contains(expected), "{error}\n  instead of\n{expected}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}
