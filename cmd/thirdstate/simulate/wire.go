package simulate

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// encode writes an observation in a gateway's format.
func encode(format Format, o *observation.Observation) (topic string, payload []byte) {
	var b bytes.Buffer
	switch format {
	case ThingsBoard:
		b.WriteByte('{')
		quote(&b, o.Machine)
		b.WriteString(`:[{"ts":` + strconv.FormatInt(o.At.UnixMilli(), 10) + `,"values":`)
		object(&b, o.Values)
		b.WriteString("}]}")
		return "v1/gateway/telemetry", b.Bytes()
	case Telegraf:
		b.WriteString(`{"name":"machine","tags":{"host":"gateway-1","machine":`)
		quote(&b, o.Machine)
		b.WriteString(`},"fields":`)
		object(&b, o.Values)
		b.WriteString(`,"timestamp":` + strconv.FormatInt(o.At.Unix(), 10) + "}")
		return "telegraf/gateway-1/machine", b.Bytes()
	case LineProtocol:
		b.WriteString("machine,machine=" + o.Machine + " ")
		for i, v := range o.Values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(v.Signal + "=")
			number(&b, v.Value)
		}
		b.WriteString(" " + strconv.FormatInt(o.At.UnixNano(), 10))
		return "telegraf/gateway-2/machine", b.Bytes()
	case OwnJSON:
	}
	b.WriteString(`{"ts":` + strconv.FormatInt(o.At.UnixMilli(), 10))
	b.WriteString(`,"values":`)
	object(&b, o.Values)
	b.WriteByte('}')
	return "fleet/" + o.Machine + "/telemetry", b.Bytes()
}

func object(b *bytes.Buffer, values []observation.Value) {
	b.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		quote(b, v.Signal)
		b.WriteByte(':')
		number(b, v.Value)
	}
	b.WriteByte('}')
}

func number(b *bytes.Buffer, v float64) {
	b.Write(strconv.AppendFloat(b.AvailableBuffer(), v, 'g', -1, 64))
}

func quote(b *bytes.Buffer, text string) {
	quoted, err := json.Marshal(text)
	if err != nil { // a string can always be written
		return
	}
	b.Write(quoted)
}
