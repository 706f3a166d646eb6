// As much of Unity as the component of docs/howto/unity.md uses, over .NET's own classes, and a program that runs it.
using System;
using System.Collections;
using System.IO;
using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;
using UnityEngine;

namespace UnityEngine
{
    public class MonoBehaviour { }
    public enum FilterMode { Point }
    public struct Vector2 { public Vector2(float x, float y) { } }
    public struct Rect { public Rect(float x, float y, float width, float height) { } }
    public class Sprite
    {
        public Texture2D texture;
        public static Sprite Create(Texture2D texture, Rect rect, Vector2 pivot, float pixels) { return new Sprite { texture = texture }; }
    }
    public class Texture2D
    {
        public int width, height;
        public FilterMode filterMode;
        public Texture2D(int width, int height) { }
        public bool LoadImage(byte[] png)
        {
            width = png[18] << 8 | png[19];
            height = png[22] << 8 | png[23];
            return true;
        }
    }
    public static class Debug { public static void LogError(object text) { Console.WriteLine("error " + text); } }
    public static class JsonUtility
    {
        public static string ToJson(object of)
        {
            var parts = new StringBuilder();
            foreach (var field in of.GetType().GetFields())
            {
                var value = field.GetValue(of);
                parts.Append((parts.Length > 0 ? "," : "") + "\"" + field.Name + "\":" + (value is string ? "\"" + value + "\"" : value.ToString()));
            }
            return "{" + parts + "}";
        }
        public static T FromJson<T>(string text)
        {
            var made = (T)Activator.CreateInstance(typeof(T), true);
            foreach (var field in typeof(T).GetFields())
                field.SetValue(made, Regex.Match(text, "\"" + field.Name + "\":\"(.*?)\"").Groups[1].Value);
            return made;
        }
    }
}

namespace UnityEngine.Networking
{
    public class UploadHandlerRaw { public byte[] data; public UploadHandlerRaw(byte[] data) { this.data = data; } }
    public class DownloadHandlerBuffer { public byte[] data; public string text { get { return Encoding.UTF8.GetString(data); } } }
    public class UnityWebRequest : IDisposable
    {
        public UploadHandlerRaw uploadHandler;
        public DownloadHandlerBuffer downloadHandler;
        public long responseCode;
        public string error;
        HttpWebRequest request;
        public UnityWebRequest(string url, string method)
        {
            request = (HttpWebRequest)WebRequest.Create(url);
            request.Method = method;
            request.ServicePoint.Expect100Continue = false;
        }
        public void SetRequestHeader(string name, string value)
        {
            if (name == "Content-Type") request.ContentType = value;
            else if (name == "Accept") request.Accept = value;
            else request.Headers[name] = value;
        }
        public object SendWebRequest()
        {
            using (var body = request.GetRequestStream()) body.Write(uploadHandler.data, 0, uploadHandler.data.Length);
            HttpWebResponse answer;
            try { answer = (HttpWebResponse)request.GetResponse(); }
            catch (WebException failure) { answer = (HttpWebResponse)failure.Response; error = failure.Message; }
            responseCode = (long)answer.StatusCode;
            using (var read = new MemoryStream()) { answer.GetResponseStream().CopyTo(read); downloadHandler.data = read.ToArray(); }
            return null;
        }
        public void Dispose() { }
    }
}

static class Program
{
    static void Run(IEnumerator coroutine) { while (coroutine.MoveNext()) { } }

    static void Main(string[] told)
    {
        var gfedge = new Gfedge { server = told[0] };
        var stop = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        ManualResetEventSlim open = new ManualResetEventSlim(), ended = new ManualResetEventSlim();
        var watching = gfedge.Watch(text => { if (text.Contains("\"job.ended\"")) ended.Set(); else open.Set(); }, stop.Token);
        Console.WriteLine(open.Wait(20000) ? "snapshot" : "no snapshot: " + watching.Status);
        Run(gfedge.Draw("red dragon", sprite => Console.WriteLine("sprite " + sprite.texture.width + "x" + sprite.texture.height), 2, 7));
        Run(gfedge.Draw("", sprite => Console.WriteLine("a sprite of nothing")));
        Console.WriteLine(ended.Wait(20000) ? "job.ended" : "no end: " + watching.Status);
        Environment.Exit(0);
    }
}
