// The first bytes of every incoming TCP segment that carries data, as far as they look like an HTTP/1 request.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 16); } ring SEC(".maps");
struct event { __u32 length; char text[508]; };

SEC("cgroup_skb/ingress") int incoming(struct __sk_buff *skb)
{
	__u8 ihl = 0, offset = 0, first = 0;
	bpf_skb_load_bytes(skb, 0, &ihl, 1);                      // IPv4: version and header length
	__u32 tcp = (ihl & 15) * 4;
	bpf_skb_load_bytes(skb, tcp + 12, &offset, 1);            // TCP: header length
	__u32 payload = tcp + (offset >> 4) * 4, length = skb->len - payload;
	if (payload >= skb->len || bpf_skb_load_bytes(skb, payload, &first, 1)) return 1;
	if (length < 16 || first < 'A' || first > 'Z') return 1;  // a method begins with a capital letter
	if (length > 508) length = 508;
	struct event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);
	if (!event) return 1;                                     // the ring is full: traffic goes on
	event->length = length;
	if (bpf_skb_load_bytes(skb, payload, event->text, length)) bpf_ringbuf_discard(event, 0);
	else bpf_ringbuf_submit(event, 0);
	return 1;                                                 // 1 lets the packet pass, 0 would drop it
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
