package j1939

import "fmt"

// Words are a text in both languages.
type Words struct{ EN, ZH string }

// modes are the failure modes by FMI (SAE J1939-73, annex A); 22 to 30 are reserved.
//
//nolint:gochecknoglobals // a list, never written
var modes = [32]Words{
	0:  {"above normal, most severe", "高于正常范围，最严重"},
	1:  {"below normal, most severe", "低于正常范围，最严重"},
	2:  {"data erratic or incorrect", "数据不稳定或不正确"},
	3:  {"voltage above normal or shorted high", "电压过高或对高短路"},
	4:  {"voltage below normal or shorted low", "电压过低或对低短路"},
	5:  {"current below normal or open circuit", "电流过低或开路"},
	6:  {"current above normal or grounded", "电流过高或接地"},
	7:  {"mechanical system not responding", "机械系统无响应"},
	8:  {"abnormal frequency or pulse width", "频率或脉宽异常"},
	9:  {"abnormal update rate", "更新率异常"},
	10: {"abnormal rate of change", "变化率异常"},
	11: {"cause not known", "原因不明"},
	12: {"bad device or component", "装置或部件损坏"},
	13: {"out of calibration", "超出标定"},
	14: {"special instructions", "特殊说明"},
	15: {"above normal, least severe", "高于正常范围，最轻"},
	16: {"above normal, moderate", "高于正常范围，中等"},
	17: {"below normal, least severe", "低于正常范围，最轻"},
	18: {"below normal, moderate", "低于正常范围，中等"},
	19: {"received network data in error", "收到的网络数据有误"},
	20: {"data drifted high", "数据漂移偏高"},
	21: {"data drifted low", "数据漂移偏低"},
	31: {"condition exists", "状态存在"},
}

// Describe says in words what a code means, as in "Engine coolant temperature:
// above normal, most severe".
func Describe(spn uint32, fmi uint8) Words {
	mode := modes[fmi&31]
	if mode == (Words{}) {
		mode = Words{fmt.Sprintf("reserved failure mode %d", fmi), fmt.Sprintf("保留故障模式%d", fmi)}
	}
	name := parameterName(spn)
	return Words{EN: name.EN + ": " + mode.EN, ZH: name.ZH + "：" + mode.ZH}
}

// First and last number of the parameters whose names are the makers' own.
const firstProprietary, lastProprietary = 520192, 524287

func parameterName(spn uint32) Words {
	for i := range Parameters {
		if Parameters[i].SPN == spn {
			return Words{Parameters[i].EN, Parameters[i].ZH}
		}
	}
	switch {
	case spn >= 2000 && spn <= 2255:
		return Words{fmt.Sprintf("No messages from source address %d", spn-2000), fmt.Sprintf("源地址%d通信丢失", spn-2000)}
	case spn >= firstProprietary && spn <= lastProprietary:
		return Words{fmt.Sprintf("Maker's parameter %d", spn), fmt.Sprintf("厂家自定义参数%d", spn)}
	}
	return Words{fmt.Sprintf("Parameter %d", spn), fmt.Sprintf("参数%d", spn)}
}
