import ssl
import sys
import urllib.request

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.keylog_filename = sys.argv[2]
with urllib.request.urlopen(sys.argv[1], context=context) as response:
    response.read()
    print(response.status)
