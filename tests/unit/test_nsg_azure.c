/* SPDX-License-Identifier: BSD-2-Clause */
/* Azure's own form: the shapes in which it prints groups, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tests/unit/nsg_rig.h"

/* As "az network nsg show" prints it: flat, unused keys null or [], ids everywhere. */
static const char cli[] =
	"{\n"
	"  \"defaultSecurityRules\": [\n"
	"    {\"access\": \"Allow\", \"description\": \"Allow inbound traffic from all VMs in "
	"VNET\",\n"
	"     \"destinationAddressPrefix\": \"VirtualNetwork\", \"destinationAddressPrefixes\": "
	"[],\n"
	"     \"destinationPortRange\": \"*\", \"destinationPortRanges\": [],\n"
	"     \"direction\": \"Inbound\", \"etag\": \"W/\\\"1\\\"\", \"id\": "
	"\"/x/AllowVnetInBound\",\n"
	"     \"name\": \"AllowVnetInBound\", \"priority\": 65000, \"protocol\": \"*\",\n"
	"     \"provisioningState\": \"Succeeded\", \"resourceGroup\": \"rg\",\n"
	"     \"sourceAddressPrefix\": \"VirtualNetwork\", \"sourceAddressPrefixes\": [],\n"
	"     \"sourceApplicationSecurityGroups\": null, \"sourcePortRange\": \"*\",\n"
	"     \"sourcePortRanges\": [],\n"
	"     \"type\": \"Microsoft.Network/networkSecurityGroups/defaultSecurityRules\"}\n"
	"  ],\n"
	"  \"etag\": \"W/\\\"2\\\"\",\n"
	"  \"flushConnection\": true,\n"
	"  \"id\": \"/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/"
	"networkSecurityGroups/web-nsg\",\n"
	"  \"location\": \"westeurope\",\n"
	"  \"name\": \"web-nsg\",\n"
	"  \"networkInterfaces\": null,\n"
	"  \"securityRules\": [\n"
	"    {\n"
	"      \"access\": \"Allow\",\n"
	"      \"description\": null,\n"
	"      \"destinationAddressPrefix\": \"\",\n"
	"      \"destinationAddressPrefixes\": [],\n"
	"      \"destinationApplicationSecurityGroups\": [\n"
	"        {\"id\": \"/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/"
	"applicationSecurityGroups/web\", \"resourceGroup\": \"rg\"}\n"
	"      ],\n"
	"      \"destinationPortRange\": null,\n"
	"      \"destinationPortRanges\": [\"80\", \"443\", \"8000-8080\"],\n"
	"      \"direction\": \"Inbound\",\n"
	"      \"etag\": \"W/\\\"3\\\"\",\n"
	"      \"id\": \"/x/AllowWeb\",\n"
	"      \"name\": \"AllowWeb\",\n"
	"      \"priority\": 100,\n"
	"      \"protocol\": \"Tcp\",\n"
	"      \"provisioningState\": \"Succeeded\",\n"
	"      \"resourceGroup\": \"rg\",\n"
	"      \"sourceAddressPrefix\": \"Internet\",\n"
	"      \"sourceAddressPrefixes\": [],\n"
	"      \"sourceApplicationSecurityGroups\": null,\n"
	"      \"sourcePortRange\": \"*\",\n"
	"      \"sourcePortRanges\": [],\n"
	"      \"type\": \"Microsoft.Network/networkSecurityGroups/securityRules\"\n"
	"    }\n"
	"  ],\n"
	"  \"subnets\": null,\n"
	"  \"tags\": {},\n"
	"  \"type\": \"Microsoft.Network/networkSecurityGroups\"\n"
	"}\n";

static void test_what_the_cli_prints(void **state)
{
	struct nsg_file *f = rig_load(cli);
	const struct nsg_rule *r = &f->nsgs[0].rules[0];

	(void)state;
	assert_true(f->azure);
	assert_int_equal(f->n_nsgs, 1);
	assert_string_equal(f->nsgs[0].name, "web-nsg");
	assert_true(f->nsgs[0].flush_connection);
	assert_int_equal(f->nsgs[0].n_rules, 1);
	assert_string_equal(r->name, "AllowWeb");
	assert_int_equal(r->line, 21);
	assert_int_equal(r->dir, POLICY_IN);
	assert_int_equal(r->proto.protos[0], 6);
	assert_int_equal(r->src.addrs[0].kind, NSG_ADDR_INTERNET);
	assert_int_equal(r->dst.n_addrs, 1);
	assert_int_equal(r->dst.addrs[0].kind, NSG_ADDR_ASG);
	assert_string_equal(r->dst.addrs[0].asg, "web");
	assert_int_equal(r->dst.n_ports, 3);
	assert_int_equal(r->src.n_ports, 0);
	nsg_free(f);
}

#define PROPS                                                                                      \
	"{\"protocol\": \"*\", \"sourcePortRange\": \"*\", \"destinationPortRange\": \"22\", "     \
	"\"sourceAddressPrefixes\": [\"10.0.0.0/8\", \"192.168.1.4\"], "                           \
	"\"destinationAddressPrefix\": \"*\", \"access\": \"Deny\", \"priority\": 4096, "          \
	"\"direction\": \"Outbound\"}"
#define REST                                                                                       \
	"{\"name\": \"g\", \"id\": \"/x\", \"properties\": {\"provisioningState\": "               \
	"\"Succeeded\", "                                                                          \
	"\"securityRules\": [{\"name\": \"r\", \"id\": \"/y\", \"etag\": \"W\", "                  \
	"\"type\": \"t\", \"properties\": " PROPS "}]}}"

static void check_rest(const char *text, unsigned int groups)
{
	struct nsg_file *f = rig_load(text);
	const struct nsg_rule *r = &f->nsgs[0].rules[0];

	assert_int_equal(f->n_nsgs, groups);
	assert_string_equal(f->nsgs[0].name, "g");
	assert_int_equal(r->priority, 4096);
	assert_int_equal(r->verdict, POLICY_DENY);
	assert_int_equal(r->dir, POLICY_OUT);
	assert_int_equal(r->proto.n_protos, 0);
	assert_int_equal(r->src.n_addrs, 2);
	assert_int_equal(r->dst.n_addrs, 0);
	assert_int_equal(r->dst.ports[0].lo, 22);
	nsg_free(f);
}

static void test_what_rest_answers(void **state)
{
	(void)state;
	check_rest(REST, 1);
}

static void test_lists(void **state)
{
	(void)state;
	check_rest("[" REST ", {\"name\": \"h\", \"securityRules\": []}]", 2);
	check_rest("{\"value\": [" REST "]}", 1);
}

static void test_templates(void **state)
{
	(void)state;
	check_rest("{\"$schema\": \"https://x/deploymentTemplate.json#\", \"contentVersion\": "
		   "\"1.0.0.0\", \"resources\": [{\"type\": \"Microsoft.Storage/x\"}, {\"type\": "
		   "\"Microsoft.Network/networkSecurityGroups\", \"apiVersion\": \"2023-11-01\", "
		   "\"name\": \"g\", \"location\": \"[resourceGroup().location]\", \"properties\": "
		   "{\"securityRules\": [{\"name\": \"r\", \"properties\": " PROPS "}]}}]}",
		   1);
	rig_refuse("{\"resources\": [{\"type\": \"Microsoft.Network/networkSecurityGroups\", "
		   "\"name\": \"[parameters('n')]\", \"properties\": {}}]}",
		   1, "the group's name is a template expression; deploy it");
	rig_refuse("{\"resources\": [{\"type\": \"Microsoft.Storage/x\"}]}", 1,
		   "there is no resource of type");
	rig_refuse("{\"resources\": [{\"type\": "
		   "\"Microsoft.Network/networkSecurityGroups/securityRules\"}]}",
		   1, "a rule that is a resource of its own is not read");
}

/* With tabs, without line ends, with escapes: JSON as programs write it. */
static void test_json_as_it_comes(void **state)
{
	struct nsg_file *f =
		rig_load("{\"name\":\"g\",\"securityRules\":[{\"name\":\"r\",\"protocol\":\"TCP\","
			 "\"sourcePortRange\":\"*\",\"destinationPortRange\":\"*\",\n"
			 "\t\t\"sourceAddressPrefix\":\"VIRTUALNETWORK\",\n"
			 "\t\"destinationAddressPrefix\":\"10.0.0.0\\/8\",\"access\":\"allow\","
			 "\"priority\":100,\"direction\":\"inbound\"}]}");

	(void)state;
	assert_int_equal(f->nsgs[0].rules[0].src.addrs[0].kind, NSG_ADDR_VNET);
	assert_int_equal(f->nsgs[0].rules[0].dst.addrs[0].prefix.len, 104);
	nsg_free(f);
}

/* One rule, a key of it replaced or added. */
static const char *with(const char *replace, const char *by)
{
	static const char base[] =
		"{\"name\": \"g\", \"securityRules\": [\n{\"name\": \"r\",\n\"protocol\": \"Tcp\", "
		"\"sourcePortRange\": \"*\", \"destinationPortRange\": \"80\", "
		"\"sourceAddressPrefix\": \"*\", \"destinationAddressPrefix\": \"*\", "
		"\"access\": \"Allow\", \"priority\": 100, \"direction\": \"Inbound\"}]}";
	static char text[2048];
	const char *at = strstr(base, replace);

	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - base), base, by, at + strlen(replace));
	return text;
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *replace, *by;
		unsigned int line;
		const char *words;
	} cases[] = {
		{"\"priority\": 100", "\"priority\": 99", 3, "rule \"r\": 99 is out of range"},
		{"\"priority\": 100, ", "", 2, "rule \"r\": the key \"priority\" is missing"},
		{"\"protocol\": \"Tcp\", ", "", 2, "the key \"protocol\" is missing"},
		{"\"Tcp\"", "\"Sctp\"", 3, "\"Sctp\" is not a protocol"},
		{"\"Tcp\"", "\"Icmp\"", 3, "protocol icmp has no ports"},
		{"\"direction\": \"Inbound\"", "\"direction\": \"Both\"", 3, "\"Both\" is not"},
		{"\"access\": \"Allow\", ", "", 2, "the key \"access\" is missing"},
		{"\"sourceAddressPrefix\": \"*\", ", "", 2,
		 "the key \"sourceAddressPrefix\" is missing"},
		{"\"destinationPortRange\": \"80\", ", "\"destinationPortRange\": \"\", ", 2,
		 "the key \"destinationPortRange\" is missing"},
		{"\"sourceAddressPrefix\": \"*\"",
		 "\"sourceAddressPrefix\": \"*\", \"sourceAddressPrefixes\": [\"10.0.0.4\"]", 3,
		 "both sourceAddressPrefix and sourceAddressPrefixes are given"},
		{"\"sourceAddressPrefix\": \"*\"",
		 "\"sourceAddressPrefix\": \"*\", \"sourceApplicationSecurityGroups\": "
		 "[{\"id\": \"/a/b\"}]",
		 3, "addresses or application security groups, not both"},
		{"\"sourceAddressPrefix\": \"*\"",
		 "\"sourceApplicationSecurityGroups\": [{\"name\": \"b\"}]", 3,
		 "the key \"id\" is missing"},
		{"\"sourceAddressPrefix\": \"*\"", "\"sourceAddressPrefix\": \"AzureCloud\"", 3,
		 "the service tag \"AzureCloud\" is not known here"},
		{"\"sourceAddressPrefix\": \"*\"", "\"sourceAdressPrefix\": \"*\"", 3,
		 "unknown key \"sourceAdressPrefix\"; did you mean \"sourceAddressPrefix\"?"},
		{"\"name\": \"r\",", "\"name\": \"[concat('r')]\",", 2,
		 "the rule's name is a template expression"},
		{"\"name\": \"g\", ", "", 1, "the key \"name\" is missing"},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
		rig_refuse(with(cases[i].replace, cases[i].by), cases[i].line, cases[i].words);
	rig_refuse("[]", 1, "the list of groups is empty");
	rig_refuse("{\"name\": \"g\", \"securityRules\": {}}", 1, "securityRules must be a list");
}

static void test_default_rules_that_are_none(void **state)
{
	static const char text[] =
		"{\"name\": \"g\", \"securityRules\": [], \"defaultSecurityRules\": [\n"
		"{\"name\": \"%s\", \"protocol\": \"*\", \"sourcePortRange\": \"*\", "
		"\"destinationPortRange\": \"*\", \"sourceAddressPrefix\": \"%s\", "
		"\"destinationAddressPrefix\": \"*\", \"access\": \"%s\", \"priority\": %d, "
		"\"direction\": \"Inbound\"}]}";
	char out[512];

	(void)state;
	snprintf(out, sizeof(out), text, "DenyAllInBound", "*", "Deny", 65500);
	nsg_free(rig_load(out));
	snprintf(out, sizeof(out), text, "DenyAllInBound", "*", "Allow", 65500);
	rig_refuse(out, 2, "\"DenyAllInBound\" is not one of the default rules");
	snprintf(out, sizeof(out), text, "DenyAllInBound", "*", "Deny", 65499);
	rig_refuse(out, 2, "is not one of the default rules");
	snprintf(out, sizeof(out), text, "AllowAzureLoadBalancerInBound", "AzureLoadBalancer",
		 "Allow", 65001);
	nsg_free(rig_load(out));
	snprintf(out, sizeof(out), text, "AllowAzureLoadBalancerInBound", "10.0.0.0/8", "Allow",
		 65001);
	rig_refuse(out, 2, "is not one of the default rules");
}

static void test_it_means_the_same(void **state)
{
	struct lab *lab = rig_lab3();

	(void)state;
	rig_group(cli, lab, "web-nsg", POLICY_IN, "tcp 198.51.100.1:999 10.0.0.4:443", POLICY_ALLOW,
		  "AllowWeb");
	rig_group(cli, lab, "web-nsg", POLICY_IN, "tcp 198.51.100.1:999 10.0.0.5:443", POLICY_DENY,
		  "DenyAllInBound");
	rig_group(cli, lab, "web-nsg", POLICY_IN, "tcp 10.0.1.5:999 10.0.0.5:443", POLICY_ALLOW,
		  "AllowVnetInBound");
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_the_cli_prints),
		cmocka_unit_test(test_what_rest_answers),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_json_as_it_comes),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_default_rules_that_are_none),
		cmocka_unit_test(test_it_means_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
