"""Sends a message with the Python client of openapi-generator."""

import os

from openapi_client import ApiClient, Configuration, EventsAndWebhooksApi, MessagesApi
from openapi_client.exceptions import BadRequestException
from openapi_client.models import ErrorResponse, RcConnectedEvent, SendRequest

sender = os.environ["FROM"]
client = ApiClient(Configuration(host=os.environ["GATEWAY"], access_token=os.environ["KEY"]))
messages = MessagesApi(client)

# The client itself refuses a number that does not match the pattern, so the test uses an unknown sender.
try:
    messages.send_sms(SendRequest.model_validate({"to": "+16505550111", "from": "+14155550199", "body": "Hello"}))
    raise AssertionError("the message was accepted")
except BadRequestException as exception:
    error = exception.data
assert isinstance(error, ErrorResponse) and error.code == "sender_unknown", error

sent = messages.send_sms(
    SendRequest.model_validate({"to": "+16505550111", "from": sender, "body": "From openapi-generator"}),
    idempotency_key="openapi-generator-python",
)
message = messages.get_message(sent.message_id)
assert message.var_from == sender, message

events = EventsAndWebhooksApi(client).list_events().events
assert any(isinstance(event.actual_instance, RcConnectedEvent) for event in events), events
print(f"{error.code}, then {sent.status} {sent.message_id}, {len(events)} events")
