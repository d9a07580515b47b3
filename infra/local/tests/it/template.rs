//! Unsupported parts of a template are errors with their line.

use local::template::{Template, TemplateOverrides};

fn error(text: &str) -> String {
    match Template::parse(text, &TemplateOverrides::default()) {
        Ok(_) => panic!("the template was accepted"),
        Err(error) => format!("{error:#}"),
    }
}

/// A template with one function whose event has a property.
fn event(kind: &str, property: &str) -> String {
    format!(
        "Resources:\n  A:\n    Type: AWS::Serverless::Function\n    Properties:\n      Events:\n        E:\n          \
         Type: {kind}\n          Properties: {{{property}: 1}}\n"
    )
}

#[test]
fn unsupported_elements_are_named_with_their_line() {
    for (text, expected) in [
        (
            "Resources:\n  A:\n    Type: AWS::EC2::Instance\n",
            "line 3: the resource type AWS::EC2::Instance (of A) is not supported by the local stack",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::DynamoDB::Table\n    Properties:\n      TableName: !Select [0, [a]]\n",
            "line 5: the intrinsic function !Select is not supported by the local stack",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::DynamoDB::Table\n    Properties:\n      TableName:\n        Fn::ImportValue: x\n",
            "line 6: the intrinsic function Fn::ImportValue is not supported by the local stack",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::DynamoDB::Table\n    Properties:\n      TableName: !Ref Nothing\n",
            "line 5: unknown parameter or resource Nothing",
        ),
        (
            "Parameters:\n  P: {Type: String}\nResources:\n  A: {Type: AWS::KMS::Key}\n",
            "line 2: parameter P has no Default, and the local stack does not set it",
        ),
        ("Mappings: {}\nResources: {}\n", "line 1: Mappings is not supported by the local stack"),
        (
            "Globals:\n  Function: {Events: {}}\nResources: {}\n",
            "line 2: Events is not supported by the local stack",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::KMS::Key\n    CreationPolicy: {}\n",
            "line 4: CreationPolicy is not supported by the local stack",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::DynamoDB::Table\n    Properties:\n      ProvisionedThroughput: {}\n",
            "line 5: ProvisionedThroughput is not supported by the local stack",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::SQS::Queue\n    Properties: {FifoQueue: true}\n",
            "line 4: FifoQueue is not supported by the local stack",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::S3::Bucket\n    Properties: {VersioningConfiguration: {Status: Enabled}}\n",
            "line 4: VersioningConfiguration is not supported by the local stack",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::S3::Bucket\n    Properties: {LifecycleConfiguration: {Rules: [{Status: Enabled, Transitions: []}]}}\n",
            "line 2: A: Transitions in a lifecycle rule is not supported by the local stack",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::Serverless::HttpApi\n    Properties: {CorsConfiguration: true}\n",
            "line 4: CorsConfiguration is not supported by the local stack",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::Serverless::HttpApi\n    Properties:\n      RouteSettings:\n        GET /: {LoggingLevel: INFO}\n",
            "line 6: LoggingLevel is not supported by the local stack",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::Serverless::HttpApi\n    Properties:\n      DefaultRouteSettings: {ThrottlingRateLimit: 1}\n",
            "A: ThrottlingBurstLimit is required",
        ),
        (
            "Resources:\n  A:\n    Type: AWS::Serverless::Function\n    Properties: {TimeOut: 3}\n",
            "line 4: TimeOut is not supported by the local stack",
        ),
        (&event("HttpApi", "Auth"), "line 8: Auth is not supported by the local stack"),
        (&event("ScheduleV2", "Enabled"), "line 8: Enabled is not supported by the local stack"),
        (&event("SQS", "FilterCriteria"), "line 8: FilterCriteria is not supported by the local stack"),
        (
            &event("DynamoDB", "TumblingWindowInSeconds"),
            "line 8: TumblingWindowInSeconds is not supported by the local stack",
        ),
        ("Resources:\n  A:\n   - b\n  c\n", "line 5: simple key"),
        ("Outputs: {}\n", "the template has no Resources"),
        ("", "the template is empty"),
        (
            "Resources:\n  A:\n    Type: AWS::Scheduler::ScheduleGroup\n    Properties:\n      Name: !Ref B\n  B:\n    Type: AWS::Scheduler::ScheduleGroup\n    Properties:\n      Name: !Ref A\n",
            "line 5: this reference is circular",
        ),
    ] {
        let error = error(text);
        assert!(error.starts_with(expected) || error.contains(expected), "{error}\n  instead of\n{expected}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}
