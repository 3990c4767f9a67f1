package intake

import (
	"testing"

	"github.com/thirdstate/thirdstate/telemetry/edge"
)

func TestMayPublishTo_KeepsAnEdgesTopicForItsGateway(t *testing.T) {
	t.Parallel()
	own, other := &grant{key: "EDGE1", gateway: true}, &grant{key: "EDGE2", gateway: true}
	if !mayPublishTo(own, edge.Topic("EDGE1")) || mayPublishTo(other, edge.Topic("EDGE1")) || mayPublishTo(&grant{key: "EDGE1"}, edge.Topic("EDGE1")) {
		t.Error("only the gateway of that name may publish to an edge's topic")
	}
}
