// Package demo seeds the organisation that the demonstration shows, drives its
// simulated fleet and clock, and plays the people in it. Names, plates and
// numbers are invented.
package demo

type place struct {
	code, name, nameEN string
	latitude           float64
	longitude          float64
}

var stations = []place{
	{"hengyang", "衡阳服务站", "Hengyang service station", 26.893, 112.572},
	{"changsha", "长沙服务站", "Changsha service station", 28.228, 112.939},
	{"chenzhou", "郴州服务站", "Chenzhou service station", 25.770, 113.015},
	{"zhuzhou", "株洲服务站", "Zhuzhou service station", 27.828, 113.134},
}

// away are the engineers who are not at their station, so that the nearest one is
// not the one who may go.
var away = map[string]place{"liqiang": {latitude: 26.815, longitude: 112.640}}

type engineer struct {
	login, name, nameEN, station, phone string
	skills                              []skill
	vanParts                            map[string]int
}

type skill struct {
	name       string
	level      int16
	validUntil string
}

func skilled(validUntil string, names ...string) []skill {
	var out []skill
	for _, n := range names {
		out = append(out, skill{n, 3, validUntil})
	}
	return out
}

var engineers = []engineer{
	{"chenhaibo", "陈海波", "Chen Haibo", "hengyang", "+8613875930121", skilled("2027-03-31", "concrete_pump", "excavator", "hydraulics"), map[string]int{"HF-3307": 1, "WP-56-02": 1}},
	{"liqiang", "李强", "Li Qiang", "hengyang", "+8613875930122", skilled("2027-06-30", "genset", "compressor", "electrical"), map[string]int{"SN-PT-04": 1}},
	{"zhouyong", "周勇", "Zhou Yong", "hengyang", "+8613875930123", skilled("2026-12-31", "excavator", "hydraulics"), nil},
	{"tangjun", "唐军", "Tang Jun", "hengyang", "+8613875930124", skilled("2027-09-30", "concrete_pump", "genset", "hydraulics", "electrical"), map[string]int{"HF-3307": 1}},
	{"pengfei", "彭飞", "Peng Fei", "changsha", "+8613875930125", skilled("2027-01-31", "concrete_pump", "excavator", "hydraulics"), map[string]int{"FM-2208": 1}},
	{"xiewei", "谢伟", "Xie Wei", "changsha", "+8613875930126", skilled("2027-05-31", "compressor", "electrical"), map[string]int{"BR-6310": 1}},
	{"luojie", "罗杰", "Luo Jie", "changsha", "+8613875930127", skilled("2027-02-28", "genset", "excavator", "electrical", "hydraulics"), map[string]int{"IJ-500": 2}},
	{"dengkai", "邓凯", "Deng Kai", "chenzhou", "+8613875930128", skilled("2027-04-30", "excavator", "concrete_pump", "hydraulics"), nil},
	{"jiangtao", "蒋涛", "Jiang Tao", "chenzhou", "+8613875930129", skilled("2026-03-31", "genset", "compressor", "electrical"), nil}, // certificates have run out
	{"huanglei", "黄磊", "Huang Lei", "zhuzhou", "+8613875930130", skilled("2027-08-31", "compressor", "genset", "electrical", "hydraulics"), map[string]int{"BR-6310": 1, "SN-PT-04": 2}},
	{"liuyang", "刘洋", "Liu Yang", "zhuzhou", "+8613875930131", skilled("2027-07-31", "concrete_pump", "excavator", "hydraulics", "electrical"), map[string]int{"HF-3307": 2, "WP-56-02": 1}},
}

type customer struct {
	code, name, nameEN, tier string
	site                     place
	people                   []person
}

type person struct {
	name, nameEN, salutation, salutationEN, capacity, phone string
}

// customers in the order in which the fleet's codes are given to them; the first
// is the hero's owner.
var customers = []customer{
	{"tongda", "砼达泵送", "Tongda Pumping", "A", place{"yard", "衡阳停车场", "Hengyang yard", 26.773, 112.692},
		[]person{{"刘建国", "Liu Jianguo", "刘总", "Mr Liu", "owner", "+8613807340417"}, {"张秀兰", "Zhang Xiulan", "张总", "Ms Zhang", "legal", "+8613807340418"}, {"周志强", "Zhou Zhiqiang", "周师傅", "Mr Zhou", "operator", "+8613973420876"}}},
	{"henggu", "恒固混凝土", "Henggu Concrete", "A", place{"gaokao", "雁峰中学扩建工地", "Yanfeng school site", 26.880, 112.612},
		[]person{{"李振华", "Li Zhenhua", "李主席", "Mr Li", "representative", "+8613907340266"}, {"罗建平", "Luo Jianping", "罗师傅", "Mr Luo", "operator", "+8613975401235"}}},
	{"yuelu", "岳麓土石方", "Yuelu Earthworks", "B", place{"xiangjiang", "湘江新区基坑", "Xiangjiang pit", 28.203, 112.880},
		[]person{{"何志军", "He Zhijun", "何总", "Mr He", "owner", "+8613807310552"}, {"谭师傅", "Mr Tan", "谭师傅", "Mr Tan", "operator", "+8613975111829"}}},
	{"dayaoshan", "大瑶山隧道项目部", "Dayaoshan Tunnel Project", "A", place{"tunnel", "大瑶山隧道工地", "Dayaoshan tunnel", 25.310, 113.120},
		[]person{{"孙立新", "Sun Lixin", "孙经理", "Mr Sun", "manager", "+8613807350933"}}},
	{"hejin", "株洲合金动力厂", "Zhuzhou Alloy Power", "B", place{"plant", "空压站", "Compressor house", 27.850, 113.150},
		[]person{{"冯国强", "Feng Guoqiang", "冯工", "Mr Feng", "manager", "+8613807330274"}}},
	{"xiangnan", "湘南矿业", "Xiangnan Mining", "B", place{"pit", "苏仙露天矿", "Suxian open pit", 25.800, 113.100},
		[]person{{"曹德明", "Cao Deming", "曹总", "Mr Cao", "owner", "+8613807350618"}}},
	{"luqiao", "衡阳路桥", "Hengyang Road and Bridge", "B", place{"bridge", "湘江三桥工地", "Third bridge site", 26.910, 112.640},
		[]person{{"彭国栋", "Peng Guodong", "彭经理", "Mr Peng", "manager", "+8613807340751"}}},
	{"anxin", "安信融资租赁（用户：周氏工程）", "Anxin Leasing (user: Zhou Works)", "C", place{"zhou", "周氏工程停车场", "Zhou Works yard", 27.240, 112.730},
		[]person{{"周海", "Zhou Hai", "周总", "Mr Zhou", "owner", "+8613807340392"}}},
	{"shengda", "盛达建材", "Shengda Materials", "C", place{"quarry", "盛达料场", "Shengda quarry", 27.900, 112.950},
		[]person{{"肖建", "Xiao Jian", "肖总", "Mr Xiao", "owner", "+8613807330865"}}},
	{"minxin", "民鑫工程", "Minxin Works", "B", place{"road", "绕城高速三标", "Ring road lot 3", 28.150, 113.080},
		[]person{{"戴民", "Dai Min", "戴总", "Mr Dai", "owner", "+8613807310497"}}},
}

type login struct{ login, name, nameEN, role, customer, engineer string }

// logins are offered for one click, in this order.
var logins = []login{
	{"zhaomin", "赵敏", "Zhao Min", "service-manager", "", ""},
	{"helin", "何琳", "He Lin", "dispatcher", "", ""},
	{"chenhaibo", "陈海波", "Chen Haibo", "field-engineer", "", "chenhaibo"},
	{"wangqian", "王倩", "Wang Qian", "call-centre", "", ""},
	{"liujianguo", "刘建国", "Liu Jianguo", "owner-admin", "tongda", ""},
	{"lizhenhua", "李振华", "Li Zhenhua", "customer-representative", "henggu", ""},
	{"admin", "管理员", "Administrator", "admin", "", ""},
}

type sparePart struct {
	number, name, nameEN string
	stock                map[string]int // by station
}

var spareParts = []sparePart{
	{"FM-2208", "散热器风扇马达", "Cooler fan motor", map[string]int{"hengyang": 1, "changsha": 2}},
	{"HF-3307", "液压油滤芯", "Hydraulic filter", map[string]int{"hengyang": 4, "changsha": 6, "zhuzhou": 3}},
	{"WP-56-02", "眼镜板", "Wear plate", map[string]int{"hengyang": 1, "changsha": 2}},
	{"BR-6310", "主机轴承", "Main bearing", map[string]int{"zhuzhou": 1}},
	{"IJ-500", "喷油器", "Injector", map[string]int{"changsha": 2}},
	{"SN-PT-04", "温度传感器", "Temperature sensor", map[string]int{"hengyang": 3, "zhuzhou": 3}},
	{"SK-21-09", "回转马达密封件", "Swing motor seal kit", map[string]int{"hengyang": 2}},
}
