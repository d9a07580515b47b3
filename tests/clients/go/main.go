// Sends a message with the Go client of openapi-generator.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	ringbridge "example.com/ringbridge"
)

func main() {
	log.SetFlags(0)
	sender := os.Getenv("FROM")
	configuration := ringbridge.NewConfiguration()
	configuration.Servers = ringbridge.ServerConfigurations{{URL: os.Getenv("GATEWAY")}}
	configuration.AddDefaultHeader("Authorization", "Bearer "+os.Getenv("KEY"))
	client := ringbridge.NewAPIClient(configuration)
	ctx := context.Background()

	wrong := ringbridge.NewSendRequest(sender, "101")
	wrong.SetBody("Hello")
	_, _, failure := client.MessagesAPI.SendSms(ctx).SendRequest(*wrong).Execute()
	var generic *ringbridge.GenericOpenAPIError
	if !errors.As(failure, &generic) {
		log.Fatal(failure)
	}
	refused, ok := generic.Model().(ringbridge.ErrorResponse)
	if !ok || refused.Code != "invalid_phone_number" || refused.GetField() != "to" {
		log.Fatalf("%+v", generic.Model())
	}

	request := ringbridge.NewSendRequest(sender, "+16505550111")
	request.SetBody("From Go")
	sent, _, err := client.MessagesAPI.SendSms(ctx).SendRequest(*request).IdempotencyKey("openapi-generator-go").Execute()
	if err != nil {
		log.Fatal(err)
	}
	message, _, err := client.MessagesAPI.GetMessage(ctx, sent.MessageId).Execute()
	if err != nil || message.From != sender {
		log.Fatal(err, message)
	}

	list, _, err := client.EventsAndWebhooksAPI.ListEvents(ctx).Execute()
	if err != nil {
		log.Fatal(err)
	}
	connected := 0
	for _, event := range list.Events {
		if event.RcConnectedEvent != nil {
			connected++
		}
	}
	if connected == 0 {
		log.Fatal("no event rc_connected")
	}
	fmt.Printf("%s, then %s %s, %d events\n", refused.Code, sent.Status, sent.MessageId, len(list.Events))
}
