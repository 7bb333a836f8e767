"""Stock agents name no application; an application's own name is found behind every SDK.

The stock agents are quoted from public sources, named above each group; "built" says that some were
put together by the rules of the SDK's own code because no capture was found.
"""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.normalise.seeds import seed_rows
from etl.normalise.user_agent import MAX_NAME_LENGTH, SDK_TOKENS, parse_application
from tests.cases import cases

BOTO3 = "Boto3/1.42.97 md/Botocore#1.42.97 md/awscrt#0.31.1 ua/2.1 os/linux#6.1.172-216.329.amzn2023.x86_64 md/arch#x86_64 lang/python#3.9.25 md/pyimpl#CPython m/D,b,Z cfg/retry-mode#legacy"
JAVA_2 = "aws-sdk-java/2.26.22-SNAPSHOT ua/2.1 os/Mac_OS_X#14.6.1 lang/java#21.0.2 md/OpenJDK_64-Bit_Server_VM#21.0.2+13-LTS md/vendor#Amazon.com_Inc. md/en_US md/Kotlin md/Scala exec-env/lambda"
JS_3 = "aws-sdk-js/3.1126.0 ua/2.1 os/linux#6.18.50 lang/js md/nodejs#26.10.0 api/bedrock-runtime#3.1126.0 m/N,E,e"
GO_2 = "aws-sdk-go-v2/1.32.6 ua/2.1 os/linux lang/go#1.23.4 md/GOOS#linux md/GOARCH#amd64 api/bedrockruntime#1.24.0 m/E"
RUBY = "aws-sdk-ruby3/3.178.0 ua/2.0 api/sts#3.178.0 os/macos#22 md/x86_64 lang/ruby#3.2.2 md/3.2.2 cfg/retry-mode#legacy"
PHP = "aws-sdk-php/3.297.1 OS/Linux#5.10.25-linuxkit lang/php#8.2.15"

STOCK = {
    # The agent list of the tool enumerate-iam; AWS documentation (Athena, Route 53 ARC, SSO events).
    "boto3 before 1.28": [
        "Boto3/1.4.7 Python/2.7.0 Java/1.8.0_112 Botocore/1.7.21",
        "Boto3/1.5.8 Python/3.6.3 Windows/10 Botocore/1.8.22",
        "Boto3/1.7.48 Python/3.5.0 Windows/ Botocore/1.10.48",
        "Boto3/1.7.24 Python/3.6.5 Windows/10 Botocore/1.10.24 Resource",
        "Boto3/1.9.125 Python/3.7.3 Darwin/18.6.0 Botocore/1.12.147",
        "Boto3/1.9.69 Python/3.7.4 Linux/4.14.133-97.112.amzn2.x86_64 exec-env/AWS_Lambda_python3.7 Botocore/1.12.243",
        "Boto3/1.17.5 Python/3.9.2 Linux/5 Botocore/1.20.5",
        "Boto3/1.24.84 Python/3.8.14 Linux/4.14.225-175.364.amzn2.aarch64 Botocore/1.27.84",
        "Boto3/1.28.0 Python/3.9.0",
    ],
    # Bedrock events published by Sysdig, Sumo Logic and others; a MinIO event; the last is built from botocore useragent.py.
    "boto3 since 1.28": [
        f"{BOTO3} Botocore/1.42.97",
        "Boto3/1.29.7 md/Botocore#1.32.7 ua/2.0 os/windows#10 md/arch#amd64 lang/python#3.12.1 md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.32.7",
        "Boto3/1.28.62 md/Botocore#1.31.62 ua/2.0 os/macos#22.6.0 md/arch#arm64 lang/python#3.9.6 md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.31.62",
        "Boto3/1.42.69 md/Botocore#1.42.69 ua/2.1 os/linux#6.8.0-106-generic md/arch#x86_64 lang/python#3.12.13 md/pyimpl#CPython m/E,U,Z,G,b,N,e cfg/retry-mode#standard Botocore/1.42.69",
        "Boto3/1.34.0 Python/3.9.16 Linux/5.15.0-75-generic source/x86_64.ubuntu.20.04 Botocore/1.34.0",
        "Botocore/1.31.17 ua/2.0 os/other md/foobar#1.2.3 md/arch#x86_64 lang/python#3.8.14 md/pyimpl#PyPy exec-env/AWS_Lambda_python3.8 cfg/retry-mode#legacy cfg/endpoint-discovery",
    ],
    # A MinIO event; an S3 server's tests.
    "aiobotocore": [
        "aiobotocore/2.12.1 md/Botocore#1.34.51 ua/2.0 os/linux#4.18.0-513.18.1.el8_9.x86_64 md/arch#x86_64 lang/python#3.11.8 md/pyimpl#CPython cfg/retry-mode#legacy botocore/1.34.51",
        "aiobotocore/2.5.2 Python/3.11.4 aiohttp/3.8.5",
    ],
    # enumerate-iam; S3 events in the AWS documentation (in brackets, as CloudTrail writes them).
    "aws-cli v1": [
        "aws-cli/1.15.10 Python/2.7.9 Windows/8 botocore/1.10.10",
        "aws-cli/1.16.170 Python/2.7.10 Linux/4.4.11-23.53.amzn1.x86_64 botocore/1.12.160cwlogs/1.4.4",
        "aws-cli/1.17.1 Python/3.6.9 Linux/4.4.0-18362-Microsoft botocore/1.14.2",
        "aws-cli/2.0.0dev3 Python/3.7.3 Linux/4.19.76-linuxkit botocore/2.0.0dev2",
        "[aws-cli/1.11.10 Python/2.7.8 Linux/3.2.45-0.6.wd.865.49.315.metal1.x86_64 botocore/1.4.67]",
        "[aws-cli/1.18.197 Python/3.6.12 Linux/4.14.203-116.332.amzn1.x86_64 botocore/1.19.37]",
    ],
    # AWS documentation (EC2, Launch Wizard events); TrailDiscover; blog posts on CloudTrail.
    "aws-cli v2": [
        "aws-cli/2.13.5 Python/3.11.4 Linux/4.14.255-314-253.539.amzn2.x86_64 exec-env/CloudShell exe/x86_64.amzn.2 prompt/off command/ec2.start-instances",
        "aws-cli/2.2.17 Python/3.8.8 Darwin/21.6.0 exe/x86_64 prompt/off command/example",
        "aws-cli/2.4.23 Python/3.8.8 Windows/10 exe/AMD64 prompt/off command/iam.list-users",
        "[aws-cli/2.11.2 Python/3.11.2 Linux/4.14.255-305-242.531.amzn2.x86_64 exec-env/CloudShell exe/x86_64.amzn.2 prompt/off command/s3.ls]",
        "aws-cli/2.32.3 md/awscrt#0.28.4 ua/2.1 os/linux#0.0.0.0-microsoft-standard-WSL2 md/arch#x86_64 lang/python#3.13.9 md/pyimpl#CPython m/b,C,E,g,Z cfg/retry-mode#standard md/installer#exe md/distrib#ubuntu.24 md/prompt#off md/command#bedrock.list-inference-profiles",
        "aws-cli/2.15.0",
        "aws-cli/2.x",
    ],
    # enumerate-iam; the CDK in a CloudTrail event; AWS documentation (Support).
    "aws-sdk-js v2": [
        "aws-sdk-nodejs/2.819.0 linux/v12.18.2 callback",
        "aws-sdk-nodejs/2.586.0 darwin/v13.2.0 promise",
        "aws-sdk-nodejs/2.1363.0 linux/v16.20.2 exec-env/AWS_ECS_FARGATE promise",
        "aws-sdk-nodejs/2.1586.0 linux/v20.15.1 aws-cdk/2.135.0 promise",
        "aws-sdk-js/2.0.0",
    ],
    # CloudTrail events (Connect); captures of requests; the last is built from user-agent-middleware.spec.ts.
    "aws-sdk-js v3": [
        JS_3,
        "aws-sdk-js/3.632.0 ua/2.0 os/linux#5.10.227-239.884.amzn2.x86_64 lang/js md/nodejs#20.18.0 api/connect#3.632.0 exec-env/AWS_Lambda_nodejs20.x",
        "aws-sdk-js/3.758.0 ua/2.1 os/darwin#24.5.0 lang/js md/nodejs#22.14.0 api/lambda#3.758.0 m/E,T,i,o",
        "aws-sdk-js/3.645.0 ua/2.0 os/Windows#NT-10.0 lang/js md/browser#Chrome_128.0.0.0 api/s3#3.645.0",
        "aws-sdk-js/3.675.0 ua/2.1 os/macOS#10.15.7 lang/js md/browser#Electron_33.3.2 api/s3#3.675.0 m/E,e",
        "aws-sdk-js/1.0.0 md/name/1.0.0 cfg/retry-mode/standard api/service/1.0.0 md/crt-avail",
    ],
    # Glacier and Route 53 samples in the AWS documentation; CloudTrail events.
    "aws-sdk-java v1": [
        "aws-sdk-java/1.8.3 Linux/2.6.18-164.el5PAE Java_HotSpot (TM )_Server_VM/24.60-b09/1.7.0_60",
        "aws-sdk-java/1.9.26 Mac_OS_X/10.10.3 Java_HotSpot(TM)_64-Bit_Server_VM/25.0-b70/1.8.0",
        "aws-sdk-java/unknown-version Linux/xx Java_HotSpot(TM)_64-Bit_Server_VM/xx",
        "[aws-sdk-java/1.11.504 Linux/4.14.186-146.268.amzn2.x86_64 OpenJDK_64-Bit_Server_VM/11.0.2+9-Debian-3bpo91 java/11.0.2 scala/2.12.10 exec-env/AWS_ECS_FARGATE]",
        "aws-sdk-java/1.12.277 Linux/5.4.204-124.362.amzn2int.x86_64 OpenJDK_64-Bit_Server_VM/25.342-b07 java/1.8.0_342 vendor/Oracle_Corporation cfg/retry-mode/legacy",
        "aws-sdk-java/1.12.772 Linux/5.10.230 OpenJDK_64-Bit_Server_VM/17.0.13 java/17.0.13 vendor/Amazon.com_Inc. hadoop-aws/3.3.6",
    ],
    # SdkUserAgentBuilderTest; enumerate-iam; AWS documentation (Marketplace); the last is built (BusinessMetrics notes).
    "aws-sdk-java v2": [
        JAVA_2,
        "aws-sdk-java/2.0.0-preview-9-SNAPSHOT Mac_OS_X/10.11.6 Java_HotSpot_TM__64-Bit_Server_VM/25.151-b12 Java/1.8.0_151",
        "aws-sdk-java/2.20.162 Mac_OS_X/13.5.2 OpenJDK_64-Bit_Server_VM/18.0.1+10-FR Java/18.0.1 vendor/Amazon.com_Inc. io/sync http/UrlConnection cfg/retry-mode/legacy",
        "aws-sdk-java/2.26.1 Linux/5.15.146.1-microsoft-standard-WSL2 OpenJDK_64-Bit_Server_VM/22.0.1+8 Java/22.0.1 kotlin/2.0.0-release-341 vendor/Eclipse_Adoptium io/sync http/Apache cfg/retry-mode/legacy cfg/auth-source#stat PAGINATED/2.26.1",
        "aws-sdk-java/2.28.29 md/io#async md/http#NettyNio md/internal ua/2.0 os/Linux#5.10.226-214.880.amzn2.x86_64 lang/java#17.0.13 md/OpenJDK_64-Bit_Server_VM#17.0.13+11-LTS md/vendor#Amazon.com_Inc. md/en_US md/kotlin/1.6.21-release-334(1.6.21) exec-env/AWS_ECS_FARGATE cfg/retry-mode#legacy cfg/auth-source#stat",
        "aws-sdk-java/2.55.12 md/io#sync md/http#Apache5 ua/2.1 api/S3#2.55.x os/Mac_OS_X#26.5.2 lang/java#21.0.11 md/OpenJDK_64-Bit_Server_VM#21.0.11 md/vendor#Homebrew md/en_SG md/rb#b m/D,AJ,N,N,Z,b,U,e",
        "aws-sdk-java/2.30.32 Linux/5.10.233-224.894.amzn2.x86_64 hll/cross-region ft/s3-transfer",
    ],
    # enumerate-iam; a MinIO event; a CTF's CloudTrail file; the last is built from request handlers.
    "aws-sdk-go v1": [
        "aws-sdk-go/1.4.10 (go1.7.4; linux; amd64)",
        "aws-sdk-go/1.37.19 (go1.16; linux; amd64) S3Manager",
        "aws-sdk-go/1.25.41 (go1.12.11; windows; amd64) amazon-ssm-agent/",
        "[aws-sdk-go/0.24.0 (go1.22.6; linux; amd64)]",
        "aws-sdk-go/1.44.157 (go1.19.3; linux; amd64) exec-env/AWS_Lambda_go1.x S3Manager",
    ],
    # aws-sdk-go-v2 sources and bug reports; CloudTrail events. The first is built.
    "aws-sdk-go v2": [
        GO_2,
        "aws-sdk-go/2.3.4 GOOS/linux GOARCH/amd64 GO/go1.14",
        "aws-sdk-go-v2/1.2.3 md/GOOS/linux md/GOARCH/amd64 lang/go/1.15",
        "aws-sdk-go-v2/1.17.3 os/linux lang/go/1.19.5 md/GOOS/linux md/GOARCH/amd64 api/ec2/1.25.0",
        "m/E aws-sdk-go-v2/1.30.4 os/macos lang/go#1.23.0 md/GOOS#darwin md/GOARCH#arm64 api/s3#1.60.1",
        "aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.26.4 md/GOOS#linux md/GOARCH#arm64 api/ssooidc#1.30.1 m/E,g",
    ],
    # smithy-rs tests; a CloudTrail event of 2025.
    "aws-sdk-rust": [
        "aws-sdk-rust/0.123.test os/windows/XPSP3 lang/rust/1.50.0",
        "aws-sdk-rust/0.1 ua/0.1 api/dynamodb/123 os/macos/1.15 lang/rust/1.50.0 exec-env/lambda",
        "aws-sdk-rust/0.1 ua/0.1 api/dynamodb/123 os/macos/1.15 lang/rust/1.50.0 lib/some-framework/1.3 lib/other",
        "aws-sdk-rust/0.123.test ua/0.1 api/test-service/0.123 os/windows/XPSP3 lang/rust/1.50.0 m/F,G,J md/asdf",
        "[aws-sdk-rust/1.3.8 os/linux lang/rust/1.88.0]",
    ],
    # HTTP dumps in bug reports of S3-compatible servers; .NET Framework is built after InternalSDKUtilsTests.
    "aws-sdk-net": [
        "aws-sdk-dotnet-coreclr/3.7.0.2 aws-sdk-dotnet-core/3.7.0.3 .NET_Core/4.6.29713.02 OS/Microsoft_Windows",
        "aws-sdk-dotnet-coreclr/3.3.10.3 aws-sdk-dotnet-core/3.3.24.3 .NET_Core/4.6.26628.05 OS/Darwin_17.7.0_Darwin_Kernel_Version_17.7.0:_Thu_Jun_21_22:53:14_PDT_2018;_root:xnu-4570.71.2~1/RELEASE_X86_64 ClientAsync",
        "aws-sdk-dotnet-coreclr/3.7.101.44 aws-sdk-dotnet-core/3.7.103.6 .NET_Core/6.0.11 OS/Microsoft_Windows_10.0.22000 ClientAsync",
        "aws-sdk-dotnet-45/3.7.202.18 md/aws-sdk-dotnet-core#3.7.202.18 ua/2.0 OS/Win32NT#10.0.22000.0 lang/.NET_Runtime#4.0 md/.NET_Framework#4.0",
        "aws-sdk-dotnet-coreclr/3.7.305.28 ua/2.0 os/windows#10.0.22631.0 md/ARCH#X64 lang/.NET_Core#8.0.2 md/aws-sdk-dotnet-core#3.7.302.12 api/S3#3.7.305.28 cfg/retry-mode#legacy md/ClientAsync  ft/s3-transfer md/SimpleUploadCommand",
    ],
    # Reports of intrusions seen in CloudTrail (Permiso and others).
    "PowerShell": [
        "AWSPowerShell/3.3.365.0 .NET_Runtime/4.0 .NET_Framework/4.0 OS/Microsoft_Windows_NT_10.0.01985.0 WindowsPowerShell/5.0 ClientSync",
        "AWSPowerShell.Common/4.1.20.0 .NET_Core/6.0.0-rtm.21522.10 OS/Microsoft_Windows_10.0.17763 PowerShellCore/7.-1 ClientAsync",
        "AWSPowerShell.Common/4.1.534.0 ua/2.0 .NET_Core#6.0.5 OS/windows#10.0.17763.0 md/ARCH#X64 PowerShellCore/7.-1 cfg/retry-mode#legacy md/ClientAsync",
    ],
    # HTTP dumps in bug reports; the last two are built from UserAgentMiddleware.php and the Laravel module.
    "aws-sdk-php": [
        f"{PHP} GuzzleHttp/7",
        "aws-sdk-php/3.184.6 OS/Linux/5.4.0-126-generic",
        "aws-sdk-php/3.33.1 HHVM/3.18.1 GuzzleHttp/6.2.1 curl/7.52.1 PHP/7.0.19",
        "aws-sdk-php/3.337.3 ua/2.1 OS/Linux#6.1.0 lang/php#8.3.6 AWS_Lambda_php8 cfg/endpoint-discovery m/E,g L5MOD/3.10.0 GuzzleHttp/7",
    ],
    # AWS documentation (CloudWatch, X-Ray); CloudHealth's CloudTrail samples; WebMock stubs.
    "aws-sdk-ruby": [
        RUBY,
        "aws-sdk-ruby2/2.0.0.rc4 ruby/1.9.3 x86_64-linux Seahorse/0.1.0",
        "aws-sdk-ruby2/2.11.447 jruby/2.5.7 java cloudhealth",
        "aws-sdk-ruby3/3.113.1 ruby/2.7.2 x86_64-linux aws-sdk-s3/1.93.0",
        "aws-sdk-ruby3/3.190.0 md/internal ua/2.0 api/xray#1.0.0 os/linux md/x86_64 lang/ruby#2.7.8 md/2.7.8 cfg/retry-mode#legacy",
    ],
    # A debugger session of aws-sdk-cpp 1.7; Alibaba's guide to S3 compatibility.
    "aws-sdk-cpp": [
        "aws-sdk-cpp/1.7.176 Linux/3.10.0-957.27.2.el7.x86_64 x86_64 GCC/8.3.1",
        "aws-sdk-cpp/1.11.493 ua/2.1 api/S3 os/Darwin#23.6.0 lang/c++#C++11 md/aws-crt#0.19.7 md/arch#arm64 md/Clang#15.0.0 m/D",
    ],
    # Captures of mobile applications; aws-sdk-kotlin tests.
    "aws-sdk-swift, -kotlin, -android, -iOS": [
        "aws-sdk-swift/1.5.86 ua/2.1 api/cognito_identity_provider#1.5.86 os/ios#26.3.1 lang/swift#5.10 m/D,N,Z,b",
        "aws-sdk-kotlin/1.2.3 api/test-service/1.2.3 os/linux/ubuntu-20.04 lang/kotlin/1.4.31 md/jvmVersion/1.11 md/foo/bar",
        "aws-sdk-kotlin/1.3.81 ua/2.1 api/cognito-identity-provider#1.3.81 os/android#4.14.141+ lang/kotlin#2.1.21 md/javaVersion#0 md/jvmName#Dalvik md/jvmVersion#2.1.0 md/androidApiVersion#29 md/androidRelease#10 lib/amplify-android#2.27.4 md/locale#en_GB",
        "aws-sdk-android/2.22.6 Linux/6.1.23-android14-4-00257-g7e35917775b8-ab9964412 Dalvik/2.1.0/0 en_US",
        "aws-sdk-iOS/2.24.3 iOS/14.7.1 en_US invoker",
        "aws-sdk-iOS/2.3.5 iPhone-OS/9.2.1 en_GB",
    ],
    # The Bedrock user guide; tests of LLM gateways, @anthropic-ai/bedrock-sdk and LangChain AWS; some are built.
    "model client": [
        "OpenAI/Python 1.50.0",
        "AsyncOpenAI/Python 3.14.1",
        "AzureOpenAI/Python 3.14.1",
        "OpenAI/JS 5.11.0",
        "OpenAI/NodeJS/4.0",
        "OpenAI/Go 1.2.3",
        "OpenAI/Java 2.8.1",
        "Anthropic/Python 1.6.0",
        "Anthropic/JS 0.60.0",
        "AnthropicBedrock/JS 0.6.1",
        "AnthropicBedrock/Python 1.9.0 x-client-framework:langchain-aws",
        "AsyncAnthropicBedrock/Python 0.39.0",
        "AsyncAnthropicBedrockMantle/Python 1.6.0",
    ],
    # Built from the sources of LangChain AWS, Strands, LiteLLM, the AI SDK, Powertools, Spring AI, SAM, Mastra.
    "library": [
        f"{BOTO3} Botocore/1.42.97 x-client-framework:langchain-aws",
        f"{BOTO3} Botocore/1.42.97 x-client-framework:langgraph-dynamodb md/sdk_user_agent/langgraph-checkpoint-aws",
        f"{BOTO3} Botocore/1.42.97 strands-agents",
        "litellm/1.77.0",
        "ai/7.0.93 ai-sdk/provider-utils/5.0.36 runtime/node.js/v22",
        "ai-sdk/amazon-bedrock/3.0.1 runtime/node.js/22",
        f"{BOTO3} Botocore/1.42.97 PT/no-op/2.43.1 PTEnv/AWS_Lambda_python3.12",
        f"{JS_3} app/PT/NO-OP/2.30.2/PTEnv/AWS_Lambda_nodejs22.x",
        f"{JAVA_2} app/PT/LOGGING-LOG4J/2.5.0 PTENV/AWS_Lambda_java21",
        f"{JAVA_2} app/spring-ai/1.1.0",
        f"{BOTO3} aws-sam-cli/1.120.0/4b7c4c5e-0d1c-4e8a-8f33-1f0b9a3c2d11",
        f"{JS_3} mastra/bedrock-kb",
        f"{GO_2} HashiCorp-terraform-exec/0.17.3",
    ],
    # The clients' own defaults, as quoted in tests of web servers and bot detectors.
    "HTTP client": [
        "python-requests/2.27.1",
        "python-requests/1.2.3 CPython/2.7.3 Linux/3.5.0-23-generic",
        "python-httpx/0.28.1",
        "Python-urllib/3.9",
        "Python/3.11 aiohttp/3.9.1",
        "axios/1.7.2",
        "node-fetch/3.0",
        "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
        "undici",
        "node",
        "Go-http-client/1.1",
        "Bun/1.4.3",
        "curl/8.7.1",
        "okhttp/4.12.0",
        "Apache-HttpClient/4.5.14 (Java/17.0.9)",
        "PostmanRuntime/7.36.1",
        "reqwest/0.12.9",
        "rust-reqwest/0.12",
    ],
    # AWS documentation (EC2, S3 and KMS events); CloudTrail events of AWS services.
    "console or service": [
        "AWS Internal",
        "console.amazonaws.com",
        "signin.amazonaws.com",
        "bedrock.amazonaws.com",
        "lambda.amazonaws.com",
        "S3Console/0.4",
        "S3Console/0.4, aws-internal/3 aws-sdk-java/1.12.750 Linux/5.10.226-192.879.amzn2int.x86_64 OpenJDK_64-Bit_Server_VM/25.412-b09 java/1.8.0_412 vendor/Oracle_Corporation cfg/retry-mode/standard",
        "EC2ConsoleBackend, aws-sdk-java/Linux/x.xx.fleetxen Java_HotSpot(TM)_64-Bit_Server_VM/xx",
        "leb-kcl-6193f5fe-c0f5-45ae-b1b0-65f92d577657,amazon-kinesis-client-library-java-lambda_1.2.1, aws-internal/3 aws-sdk-java/1.11.419 Linux/4.14.133-88.105.amzn1.x86_64 OpenJDK_64-Bit_Server_VM/25.181-b13 java/1.8.0_181",
        "AWS-Internal/3",
    ],
}
# Any browser's developer tools; the last is made up.
BROWSERS = [
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36 Edg/139.0.0.0",
    "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36 Vivaldi/6.7.3329.35",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.6834.210 Electron/34.5.1 Safari/537.36",
    "[Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0]",
    'Mozilla/5.0 "><script>alert(1)</script>',
]
NOT_AN_AGENT = [
    "",
    " ",
    "\t",
    "/",
    "//",
    "MyApp",
    "raw-script",
    "-",
    "()",
    "(MyApp/1.0)",
    "1.2/3.4",
    "app/",
    "MyApp/",
    "MyApp(beta/1.0)",
    "MyApp/prod",
    "MyApp#1.0",
    "prefix/name#1.0",
    "https://example.com/1.0",
]
STOCK_AGENTS = [agent for agents in STOCK.values() for agent in agents]

NAMED = [
    ("documentation", "MobileApp/2.1.0", "MobileApp"),
    ("documentation", "aws-cli/2.x Python/3.11 boto3/1.x botocore/1.x CustomerServiceApp/1.0", "CustomerServiceApp"),
    # What each SDK writes for an app id: botocore useragent.py; SdkUserAgentBuilderTest; smithy-rs;
    # UserAgentMiddlewareTest; Marshaller.cs; user_agent.rb; user_agent.go; AwsUserAgentMetadataTest.
    ("boto3 app id", f"{BOTO3} app/checkout-service Botocore/1.42.97", "checkout-service"),
    ("aws-cli app id", "aws-cli/2.32.3 md/awscrt#0.28.4 ua/2.1 os/macos#24.6.0 md/arch#arm64 lang/python#3.13.9 md/pyimpl#CPython cfg/retry-mode#standard app/cortex-code-agent md/installer#exe md/prompt#off md/command#bedrock-runtime.converse", "cortex-code-agent"),
    ("js v3 app id", f"{JS_3} app/StartFileUpload", "StartFileUpload"),
    ("java v2 app id", f"{JAVA_2} app/someAppId", "someAppId"),
    ("java v2 app id", "aws-sdk-java/2.25.11 Linux/5.15.0-75-generic OpenJDK_64-Bit_Server_VM/17.0.7 java/17.0.7 vendor/Eclipse_Adoptium app/Trino", "Trino"),
    ("go v2 app id", "aws-sdk-go-v2/1.32.6 ua/2.1 os/linux lang/go#1.23.4 md/GOOS#linux md/GOARCH#amd64 app/Overmind api/bedrockruntime#1.24.0", "Overmind"),
    ("go v2 app id, escaped", f"{GO_2} app/github.com-mkuzmin-dritf", "github.com-mkuzmin-dritf"),
    ("rust app id", "aws-sdk-rust/0.1 ua/0.1 api/dynamodb/123 os/macos/1.15 lang/rust/1.50.0 app/my_app", "my_app"),
    ("net app id", "aws-sdk-dotnet-coreclr/4.0.0.6 ua/2.1 os/linux#6.1.0 md/ARCH#X64 lang/.NET_Core#8.0.2 md/aws-sdk-dotnet-core#4.0.0.6 api/Bedrock_Runtime#4.0.0.6 app/Billing-App md/ClientAsync cfg/init-coll#0 m/E", "Billing-App"),
    ("php app id", f"{PHP} app/FooAppId m/E GuzzleHttp/7", "FooAppId"),
    ("ruby app id", "aws-sdk-ruby3/3.225.0 ua/2.1 api/bedrock_runtime#1.50.0 os/linux md/x86_64 lang/ruby#3.3.0 md/3.3.0 app/ABC-DEF m/D", "ABC-DEF"),
    ("kotlin app id", "aws-sdk-kotlin/1.2.3 ua/2.1 api/test-service#1.2.3 os/linux lang/kotlin#2.1.21 app/app-id-1", "app-id-1"),
    ("cpp app id", "aws-sdk-cpp/1.11.493 ua/2.1 api/Bedrock_Runtime os/Linux#6.1 lang/c++#C++11 app/render_farm md/GCC#13.2", "render_farm"),
    ("app id before suffix", f"{BOTO3} app/checkout Botocore/1.42.97 WebPortal/1.5.3", "checkout"),
    ("first app id", f"{BOTO3} app/checkout app/deadline-client#0.48.1", "checkout"),
    ("app id in a browser", f"{BROWSERS[0]} app/console-chat", "console-chat"),
    ("app id like a key", f"{BOTO3} app/api", "api"),
    ("every character AWS allows", f"{BOTO3} app/a!#$%&'*+-.^_`|~Z", "a!#$%&'*+-.^_`|~Z"),
    ("unescaped markup", f"{PHP} app/<b>x</b>", "<b>x</b>"),
    ("AWS solution", f"{BOTO3} app/uksb-wt64nei4u6#backgroundagent-dev", "uksb-wt64nei4u6#backgroundagent-dev"),
    # App ids with a version: sources of Roo Code, Cline, Deadline Cloud, frieza; an S3 server's tests.
    ("app id with version", f"{JS_3} app/RooCode#3.25.0", "RooCode"),
    ("app id with version, escaped", f"{JS_3} app/RooCode-3.25.0", "RooCode"),
    ("app id with version, escaped", f"{JS_3} app/cline-3.8.4-nightly.2", "cline"),
    ("app id with version", f"{BOTO3} Botocore/1.42.97 app/deadline-client#0.48.1 submitter/Maya", "deadline-client"),
    ("app id with version, escaped", f"{GO_2} app/frieza-1.2.3", "frieza"),
    ("app id with version", f"{JAVA_2} app/Trino/414", "Trino"),
    ("no version", f"{BOTO3} app/gpt-4.1-router", "gpt-4.1-router"),
    ("no version", f"{BOTO3} app/proxy-10.0.0.1", "proxy-10.0.0.1"),
    ("no version", f"{BOTO3} app/team#7", "team#7"),
    # Libraries that append to the app id: UserAgentConfiguratorTest, Powertools TypeScript, Spring AI.
    ("Powertools after app id", f"{JAVA_2} app/UserValue/PT/BATCH/2.5.0 PTENV/NA", "UserValue"),
    ("Powertools after app id, cut at 50", f"{JS_3} app/orders-api/PT/NO-OP/2.30.2/PTEnv/AWS_Lambda_nodejs", "orders-api"),
    ("Spring AI after app id", f"{JAVA_2} app/my-app/spring-ai/1.1.0", "my-app"),
    ("suffix after a library's app id", f"{JAVA_2} app/spring-ai/1.1.0 Helpdesk/2.0", "Helpdesk"),
    # A suffix as each SDK lets an application add one.
    ("boto3 user_agent_extra", f"{BOTO3} Botocore/1.42.97 WebPortal/1.5.3", "WebPortal"),
    ("boto3 user_agent_extra", f"{BOTO3} Botocore/1.42.97 awslabs/mcp/eks-mcp-server/0.1.0", "awslabs/mcp/eks-mcp-server"),
    ("boto3 user_agent_extra", f"{BOTO3} Botocore/1.42.97 AwsSolution/SO8025/v1.0.0", "AwsSolution/SO8025"),
    ("boto3 user_agent_extra", f"{BOTO3} Botocore/1.42.97 billing-batch/2.0 x-client-framework:langchain-aws", "billing-batch"),
    ("boto3 old", "Boto3/1.9.125 Python/3.7.3 Darwin/18.6.0 Botocore/1.12.147 EMRServerlessAirflowOperator/0.0.2", "EMRServerlessAirflowOperator"),
    ("js v3 customUserAgent", f"{JS_3} LumaAI-Bucket-Validator/1.0", "LumaAI-Bucket-Validator"),
    ("js v3 customUserAgent", "aws-sdk-js/3.0.0 kiro-ide/1.0.0", "kiro-ide"),
    ("js v3 customUserAgent", f"{JS_3} former2/latest", "former2"),
    ("js v2 customUserAgent", "aws-sdk-nodejs/2.1363.0 linux/v16.20.2 com.acme.Chat/1.2 promise", "com.acme.Chat"),
    ("java v2 suffix", f"{JAVA_2} com.acme.Chat/1.2", "com.acme.Chat"),
    ("java v2 prefix", "swath/development aws-sdk-java/2.31.78 ua/2.1 api/S3#2.31.78 os/Linux lang/java#21", "swath"),
    ("java v2 prefix", "Trino/412 aws-sdk-java/2.20.12", "Trino"),
    ("java v1 suffix", "aws-sdk-java/1.9.26 Mac_OS_X/10.10.3 Java_HotSpot(TM)_64-Bit_Server_VM/25.0-b70/1.8.0 BraketSchemas/1.8.0", "BraketSchemas"),
    ("go v1 handler", "aws-sdk-go/1.4.10 (go1.7.4; linux; amd64) attach-enis/0", "attach-enis"),
    ("go v1 handler", "APN/1.0 HashiCorp/1.0 Terraform/1.4.2 (+https://www.terraform.io) terraform-provider-aws/4.59.0 (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go/1.44.221 (go1.19.6; linux; amd64)", "terraform-provider-aws"),
    # Terraform's AWS provider: a debug log of 2026; a published CloudTrail event of a program that runs Terraform.
    ("go v2 handler", "APN/1.0 HashiCorp/1.0 Terraform/1.15.0-alpha20260204 (+https://www.terraform.io) terraform-provider-aws/6.32.1 (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.41.1 ua/2.1 os/macos lang/go#1.25.7 md/GOOS#darwin md/GOARCH#arm64 api/sts#1.41.6 m/v,w", "terraform-provider-aws"),
    ("go v1 handler", "APN/1.0 HashiCorp/1.0 Terraform/1.1.2 (+https://www.terraform.io) terraform-provider-aws/3.76.1 (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go/1.44.157 (go1.19.3; darwin; arm64) HashiCorp-terraform-exec/0.17.3", "terraform-provider-aws"),
    ("go v2 key", "aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.24.5 md/GOOS#linux md/GOARCH#amd64 api/elasticloadbalancingv2#1.45.0 elbv2.k8s.aws/v2.13.4 m/C,E", "elbv2.k8s.aws"),
    ("php ua_append", f"{PHP} AcmeShop/8.1 GuzzleHttp/7", "AcmeShop"),
    ("ruby suffix", f"{RUBY} acme_worker/0.3.1", "acme_worker"),
    ("net addition", "aws-sdk-dotnet-coreclr/3.7.101.44 aws-sdk-dotnet-core/3.7.103.6 .NET_Core/6.0.11 OS/Microsoft_Windows_10.0.22000 ClientAsync AcmeDesktop/5.0", "AcmeDesktop"),
    ("cpp userAgent", "aws-sdk-cpp/1.7.176 Linux/3.10.0-957.27.2.el7.x86_64 x86_64 GCC/8.3.1 render-node/0.9", "render-node"),
    ("model client", "OpenAI/Python 1.50.0 helpdesk-bot/3.1", "helpdesk-bot"),
    # Products: captured and quoted in tests of LLM gateways.
    ("product", "claude-cli/2.1.218 (external, sdk-cli)", "claude-cli"),
    ("product", "claude-code/2.1.295", "claude-code"),
    ("product", "opencode/1.18.30 ai-sdk/provider-utils/4.0.23 runtime/node.js/24", "opencode"),
    ("product", "ZCode/3.14.3 ai/6.0.193 ai-sdk/provider-utils/4.0.27 runtime/node.js/22", "ZCode"),
    ("product", "aider/0.86.1", "aider"),
    # The comment describes the host, and so does what follows it; a browser's or SDK's name does not count.
    ("host", "qwen-term/0.9.1 (Darwin 25.1.0; arm64) WezTerm/20240203 (qwen-term; 0.9.1)", "qwen-term"),
    ("host", "acme_agent/2.0 (Ubuntu 24.04; x86_64) vscode/1.105.0", "acme_agent"),
    ("host", "acme_agent/2.0(Ubuntu 24.04) kitty/0.36.1", "acme_agent"),
    ("host", "OpenAI/Python 1.99.0 (Linux; x86_64) acme_agent/2.0", "acme_agent"),
    ("host", "acme_agent/2.0 (+https://acme.example/agent) acme-plugin/1.1", "acme-plugin"),
    ("host", "Boto3/1.42.97 (linux) acme_agent/2.0 (linux) ghostty/1.2", "acme_agent"),
    ("browser", "Mozilla/5.0 (X11; Linux x86_64) Cursor/1.2", "Cursor"),
    ("electron", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Slack/4.38.125 Chrome/124.0.6367.243 Electron/30.1.1 Safari/537.36", "Slack"),
    ("electron", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Code/1.99.3 Chrome/132.0.6834.210 Electron/34.3.2 Safari/537.36", "Code"),
    ("electron", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Electron/34.3.2 Safari/537.36 app/acme-desk", "acme-desk"),
    # Versions.
    ("commit", f"{BOTO3} checkout/9f2c4e1", "checkout"),
    ("commit", f"{BOTO3} checkout/c4e19f2d77aa03b15e6f8c9d0a1b2c3d4e5f6a7b", "checkout"),
    ("two versions", "MyApp/1.0/prod", "MyApp"),
    ("upper case", f"{BOTO3} checkout/V2-SNAPSHOT", "checkout"),
    ("upper case", f"{BOTO3} checkout/SNAPSHOT", "checkout"),
    ("punctuation", "Boto3/1.28.0, WebPortal/1.5.3;", "WebPortal"),
    ("punctuation", "WebPortal/dev, Boto3/1.28.0", "WebPortal"),
    ("stray bracket", "Boto3/1.28.0) WebPortal/1.5.3", "WebPortal"),
    ("punctuation", "Boto3/1.28.0 app/checkout, aws-internal/3", "checkout"),
    ("comment at once", "WebPortal/1.5.3(build 7; Other/1.0)", "WebPortal"),
    ("brackets", "[aws-cli/1.18.197 Python/3.6.12 botocore/1.19.37 WebPortal/1.5.3]", "WebPortal"),
    ("markup", f"{BOTO3} <b>x</b>/1.0", "<b>x</b>"),
    ("not ASCII", f"{BOTO3} Büro-Assistent/1.0", "Büro-Assistent"),
]  # fmt: skip


def test_the_table_of_stock_agents_is_broad() -> None:
    assert len(set(STOCK_AGENTS)) >= 80
    assert len(STOCK) >= 20


@cases(("family", "agent"), [(family, agent) for family in STOCK for agent in STOCK[family]])
def test_a_stock_agent_names_no_application(family: str, agent: str) -> None:
    assert parse_application(agent) is None


@cases("agent", [None, *NOT_AN_AGENT, *BROWSERS])
def test_browsers_and_malformed_agents_name_no_application(agent: str | None) -> None:
    assert parse_application(agent) is None


HTTP_LIBRARIES = [
    row["name"] for row in seed_rows("user_agent_names") if row["family"] == "HTTP client"
]


@given(library=st.sampled_from(HTTP_LIBRARIES), host=st.sampled_from(["", " (linux; x64)", "(x)"]))
def test_an_http_library_is_no_application(library: str, host: str) -> None:
    assert parse_application(f"{library.title()}/2.31.0{host}") is None
    assert parse_application(f"acme_agent/1.0 {library}/2.31.0{host}") == "acme_agent"


@cases(("family", "agent", "application"), NAMED)
def test_an_application_is_found(family: str, agent: str, application: str) -> None:
    assert parse_application(agent) == application


@pytest.mark.parametrize("template", ["{}/1.0", "app/{}"])
def test_a_name_is_taken_whole_or_not_at_all(template: str) -> None:
    longest = "A" * MAX_NAME_LENGTH
    assert parse_application(template.format(longest)) == longest
    for name in (longest + "A", "My\x00App", "My\nApp", "My\x7fApp", "My\u202eApp", "My\u200bApp",
                 "My\u00a0App", "My\ud800App"):  # fmt: skip
        assert parse_application(f"Boto3/1.28.0 {template.format(name)}") is None


def test_the_last_application_wins_and_an_unsound_name_is_passed_over() -> None:
    assert parse_application("First/1.0 Boto3/1.28.0 Second/2.0 Botocore/1.31.0") == "Second"
    assert parse_application(f"First/1.0 Boto3/1.28.0 {'S' * 101}/2.0") == "First"


def _is_nobodys(name: str) -> bool:
    own = (
        "aws-",
        "awsp",
        "com.amazonaws.",
        "software.",
        ".net",
        "windows_",
        "cygwin",
        "mingw",
        "msys",
        "x-c",
    )
    return name.lower() not in SDK_TOKENS and not name.lower().startswith(own)


names = st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,40}App", fullmatch=True).filter(_is_nobodys)


@given(agent=st.sampled_from(STOCK_AGENTS), name=names)
def test_a_suffix_is_found_behind_every_stock_agent(agent: str, name: str) -> None:
    assert parse_application(f"{agent} {name}/1.2") == name


@given(agent=st.sampled_from(STOCK_AGENTS), name=names)
def test_a_prefix_is_found_before_every_stock_agent(agent: str, name: str) -> None:
    assert parse_application(f"{name}/1.2 {agent.strip('[]')}") == name


@given(agent=st.sampled_from(STOCK_AGENTS + BROWSERS), name=names)
def test_an_app_id_is_found_in_every_agent_without_one(agent: str, name: str) -> None:
    assert parse_application(f"{agent} app/{name}") == name


@given(text=st.text() | st.text(alphabet="aA1v/#().,;[]<> \t\n\x00\ud800-_:"))
def test_any_text_gives_a_valid_name_or_none(text: str) -> None:
    name = parse_application(text)
    assert name is None or (
        0 < len(name) <= MAX_NAME_LENGTH and name.isprintable() and name in text
    )


def test_a_token_of_the_sdks_alone_is_no_application() -> None:
    tokens = SDK_TOKENS - {"app"}
    assert {token for token in tokens if token != token.casefold() or "/" in token} == set()
    written = [form for token in tokens for form in (token, token.upper(), token.title())]
    assert [form for form in written if parse_application(f"{form}/1.2.3") is not None] == []


pieces = st.one_of(
    st.sampled_from(sorted(SDK_TOKENS)),
    st.sampled_from(sorted(SDK_TOKENS)).map(str.upper),
    st.sampled_from(["/", "#", " ", "1.0", "v2", "dev", "(", ")", ",", "x", "1a2b3c4"]),
)


@given(parts=st.lists(pieces, max_size=30))
def test_a_token_of_the_sdks_is_never_an_application(parts: list[str]) -> None:
    agent = "".join(parts)
    name = parse_application(agent)
    assert name is None or "app/" in agent or name.casefold() not in SDK_TOKENS


@cases(
    "piece", ["(", ")", "/", "a/1 ", "a/deadbee", "app/ ", "-1.1.1", "app/-1.1.1", "#1.", " ", "/v"]
)
def test_a_huge_agent_takes_no_time(piece: str) -> None:
    started = time.perf_counter()
    parse_application(piece * 100_000 + "!")
    assert time.perf_counter() - started < 5
