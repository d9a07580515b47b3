//! The media bucket of the template, and the permissions for its objects.

use crate::template::{problems_in, resource, sequence, statements, template, untagged};

#[test]
fn the_media_bucket_is_private_and_expires_its_objects() {
    let template = template();
    let bucket = resource(&template, "MediaBucket");
    assert_eq!(bucket["DeletionPolicy"], "RetainExceptOnCreate");
    let properties = &bucket["Properties"];
    assert!(properties.get("BucketName").is_none() && properties.get("VersioningConfiguration").is_none());
    for setting in ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"] {
        assert_eq!(properties["PublicAccessBlockConfiguration"][setting], true, "{setting}");
    }
    assert_eq!(properties["OwnershipControls"]["Rules"][0]["ObjectOwnership"], "BucketOwnerEnforced");
    let rules = sequence(Some(&properties["LifecycleConfiguration"]["Rules"]));
    let days = |prefix: &str| {
        let rule = rules.iter().find(|rule| rule["Prefix"] == prefix).unwrap();
        assert_eq!(rule["Status"], "Enabled", "{prefix}");
        untagged(&rule["ExpirationInDays"]).clone()
    };
    assert_eq!(days("uploads/"), 1);
    assert_eq!(days("media/"), "MediaRetentionDays");
    let policy = &resource(&template, "MediaBucketPolicy")["Properties"];
    assert_eq!(untagged(&policy["Bucket"]), "MediaBucket");
    let [statement] = statements(&policy["PolicyDocument"])[..] else { panic!("one statement") };
    assert_eq!(statement["Effect"], "Deny");
    assert_eq!(statement["Condition"]["Bool"]["aws:SecureTransport"], "false");
}

#[test]
fn functions_have_permissions_for_the_objects_of_one_prefix() {
    let on_media = |actions: &str, objects: &str| {
        problems_in(&format!("{{Effect: Allow, Action: {actions}, Resource: !Sub '{objects}'}}"))
    };
    assert_eq!(on_media("['s3:PutObject', 's3:GetObject']", "${MediaBucket.Arn}/media/*"), 0);
    assert_eq!(on_media("['s3:PutObject', 's3:PutObjectAcl']", "${MediaBucket.Arn}/media/*"), 1);
    assert_eq!(on_media("['s3:PutObject']", "${MediaBucket.Arn}/*"), 1);
}
