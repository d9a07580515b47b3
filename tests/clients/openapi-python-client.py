"""Sends a message with the client of openapi-python-client."""

import os

from openapi_python_client_out import AuthenticatedClient
from openapi_python_client_out.api.events_and_webhooks import list_events
from openapi_python_client_out.api.messages import get_message, send_sms
from openapi_python_client_out.models import AcceptedMessage, ErrorResponse, EventList, Message, RcConnectedEvent, SendRequest

sender = os.environ["FROM"]
client = AuthenticatedClient(base_url=os.environ["GATEWAY"], token=os.environ["KEY"])

error = send_sms.sync(client=client, body=SendRequest(to="101", from_=sender, body="Hello"))
assert isinstance(error, ErrorResponse) and error.code == "invalid_phone_number" and error.field == "to", error

sent = send_sms.sync(
    client=client,
    body=SendRequest(to="+16505550111", from_=sender, body="From openapi-python-client"),
    idempotency_key="openapi-python-client",
)
assert isinstance(sent, AcceptedMessage), sent
message = get_message.sync(sent.message_id, client=client)
assert isinstance(message, Message) and message.from_ == sender, message

events = list_events.sync(client=client)
assert isinstance(events, EventList), events
assert any(isinstance(event, RcConnectedEvent) for event in events.events), events
print(f"{error.code}, then {sent.status.value} {sent.message_id}, {len(events.events)} events")
